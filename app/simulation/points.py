"""The named points that schedules must come to: between the transactions of the engine, around a publication, around an effect.

Made from what the engine does, kept as a list, so that one which no schedule reaches any more is missed.
`module.function/before` and `/committed` are around a transaction, `/uncommitted` is its last line, `/asks` and `/asked` are
around reads, on which the next transaction leans.
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
        "submit._insert",
        "operations.complete",
        "operations.fail",
        "operations.park",
        "operations.expire",
        "operations.nobody_came",
    )
    | _around(
        "operations.hand_back",
        "decisions.cancel",
        "decisions.retry",
        "decisions.mark_done",
        "decisions.waive",
        "decisions.mark_absent",
    )
    | _around("relay.Sweeper._due", "relay.Sweeper._deadlines", "relay.Sweeper._undo_late")
    | _around("lost_messages.Lost.run_once", "broker_lost.BrokerLost.go_on", "unclaimed.sweep")
    | _single(
        "operations.claim",
        "operations.claim_to_work",
        "dispatch.ring",
        "dispatch.not_sent",
        "leases.beat",
        "execute._other_version",
        "handle.StorePort._write",
    )
    | _reads(
        "submit.submit",
        "execute._perform",
        "invoke._results",
        "execute._not_claimed",
        "unclaimed.sweep",
        "handle.StorePort.check",
        "leases.lost",
        "leases.hand_back",
    )
    | {"effect/before"}
    | _around("run.patrol", "findings.record", "findings.close", "findings.adopt")
    | _around("findings.decide_undo")
    | _reads("run.patrol", "findings._found", "findings.lost_effects", "findings._carry_out")
    | _around("gates.take_locks", "sla.sweep", "sla.act_on_batch")
    | _reads("redrive.redrive_job", "redrive.redrive_letter")
    | _reads(
        "relay.Sweeper._expired",
        "relay.Sweeper._unsent",
        "relay.Sweeper._idle",
        "relay.Sweeper._stranded",
    )
    | _reads("lost_messages.Lost.run_once", "lost_messages.Lost._gone")
)
