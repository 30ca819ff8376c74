"""The named points that schedules must come to: between the transactions of the engine, around a
publication, around an effect.

Kept as a list, so that one which no schedule reaches any more is missed. The engine gives each
transaction its name (`transaction(db, work, name="operations.complete")`). `/before` and
`/committed` are around it, `/uncommitted` is its last line, `/asks` and `/asked` are around reads,
on which the next transaction leans.
"""

from __future__ import annotations

from surefoot.app.faults import Point


def _around(*names: str) -> set[str]:
    return {f"{name}/{place}" for name in names for place in ("before", "uncommitted", "committed")}


def _single(*names: str) -> set[str]:
    return {f"{name}/{place}" for name in names for place in ("before", "committed")}


def _reads(*names: str) -> set[str]:
    return {f"{name}/{place}" for name in names for place in ("asks", "asked")}


NAMED = frozenset(
    {str(point) for point in Point}
    | {"publish/before", "publish/after", "go_on/before", "go_on/after", "effect/done", "sleeps"}
    | _around(
        "submit.insert",
        "operations.complete",
        "operations.fail",
        "operations.park",
        "operations.expire",
        "operations.nobody_came",
    )
    | _around(
        "operations.hand_back",
        "decisions.cancel",
        "decisions.redrive",
        "decisions.mark-done",
        "decisions.waive",
        "decisions.mark-absent",
    )
    | _around("relay.due", "relay.deadline", "relay.undo_late")
    | _around("relay.lost", "relay.broker_lost", "relay.nobody_came")
    | _single(
        "operations.claim",
        "operations.claim_to_work",
        "dispatch.ring",
        "dispatch.not_sent",
        "leases.beat",
        "execute.other_version",
        "handle.write",
    )
    | _reads(
        "submit.submit",
        "execute.perform",
        "invoke.results",
        "execute.not_claimed",
        "relay.nobody_came",
        "handle.check",
        "leases.lost",
        "leases.hand_back",
    )
    | {"effect/before"}
    | _around("run.patrol", "findings.record", "findings.close", "findings.adopt")
    | _around("findings.decide_undo")
    | _reads("run.patrol", "findings.found", "findings.lost_effects", "findings.carry_out")
    | _around("gates.take_locks", "relay.late", "sla.act_on_batch")
    | _reads("resubmit.resubmit_job", "redrive.redrive_letter")
    | _reads(
        "relay.expired",
        "relay.unsent",
        "relay.idle",
        "relay.stranded",
    )
    | _reads("relay.lost", "relay.lost_gone")
)
