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
        "attempt.complete",
        "attempt.fail",
        "attempt.park",
        "attempt.expire",
        "attempt.nobody_came",
    )
    | _around(
        "attempt.hand_back",
        "decide.cancel",
        "decide.retry",
        "decide.mark_done",
        "decide.waive",
        "decide.mark_absent",
    )
    | _around("sweep.Sweeper._due", "sweep.Sweeper._deadlines", "sweep.Sweeper._undo_late")
    | _around("lost.Lost.run_once", "broker_lost.BrokerLost.go_on", "unattended.sweep")
    | _single(
        "attempt.claim",
        "attempt.claim_to_work",
        "dispatch.ring",
        "dispatch.not_sent",
        "keep.beat",
        "perform._other_version",
        "port.StorePort._write",
    )
    | _reads(
        "submit.submit",
        "perform._perform",
        "running._results",
        "perform._not_claimed",
        "unattended.sweep",
        "port.StorePort.check",
        "keep.lost",
        "keep.hand_back",
    )
    | {"effect/before"}
    | _around("reconcile.patrol", "findings.record", "findings.close", "findings.adopt")
    | _around("findings.decide_undo")
    | _reads("reconcile.patrol", "findings._found", "findings.lost_effects", "findings._carry_out")
    | _around("locking.take_locks", "late.sweep", "late.act_on_batch")
    | _reads("redrive.redrive_job", "redrive.redrive_letter")
    | _reads(
        "sweep.Sweeper._expired",
        "sweep.Sweeper._unsent",
        "sweep.Sweeper._idle",
        "sweep.Sweeper._stranded",
    )
    | _reads("lost.Lost.run_once", "lost.Lost._gone")
)
