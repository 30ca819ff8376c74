"""Every change of a state that exists: of jobs, operations and dead letters. Newcomers start here.

One row a change: from which state, to which, what happens there, who brings it about, which
functions write it, and under which guard. docs/states.md is made from this table, the simulation's
monitors object to any other change, and a test runs every UPDATE of these tables against rows in
every state and compares what it changed with the rows here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from surefoot.app.rules.machines import JOB, LETTER, OPERATION, Machine
from surefoot.app.rules.states import JobState, LetterState, OpState


@dataclass(frozen=True)
class Transition:
    """`before` None: the row is new. `who` brings it about, in words.

    `by`: the functions that decide it; `write`: the functions of the store whose statement makes
    it, each as `module.function` below `app` and `app.store`.
    """

    machine: Machine
    event: str
    before: StrEnum | None
    after: StrEnum
    who: str
    by: tuple[str, ...]
    write: tuple[str, ...]
    guard: str


def _rows(
    machine: Machine,
    event: str,
    pairs: Iterable[tuple[StrEnum | None, StrEnum]],
    *,
    who: str,
    by: Iterable[str],
    write: Iterable[str],
    guard: str,
) -> tuple[Transition, ...]:
    return tuple(
        Transition(machine, event, before, after, who, tuple(by), tuple(write), guard)
        for before, after in pairs
    )


def _to(after: StrEnum, *before: StrEnum | None) -> list[tuple[StrEnum | None, StrEnum]]:
    return [(one, after) for one in before]


_CHANGE = ("job_writes.change_job",)  # under the job's lock, once, when the move closes
_END = ("attempt_writes.end_running_operation",)
_DECIDE = ("operation_writes.decide_failed_operation",)
_FAST = "postgres_fast_path.complete_forward"
_CLAIMS = (
    "attempt_writes.claim_operation",
    "attempt_writes.claim_first_attempt",
    "attempt_writes.claim_to_work",
)

_OF_JOBS = (
    *_rows(
        JOB,
        "submit",
        _to(JobState.RUNNING, None),
        who="a submission",
        by=["engine.jobs.submit._Job.insert_at_once", "engine.jobs.submit._Job.insert"],
        write=["postgres_fast_path.insert_job"],
        guard="the idempotency key, where one is given, has no other job",
    ),
    *_rows(
        JOB,
        "turn",
        _to(JobState.COMPENSATING, JobState.RUNNING),
        who="a failed step, a deadline, the SLA, or a cancel",
        by=["engine.jobs.compensation.start_compensation"],
        write=_CHANGE,
        guard="the job goes forward, and no pivot, irreversible step or confirmation runs, is done "
        "or may have happened",
    ),
    *_rows(
        JOB,
        "turn",
        _to(JobState.COMPENSATING, JobState.ATTENTION),
        who="a person who marks an action absent",
        by=["engine.jobs.compensation.start_compensation"],
        write=_CHANGE,
        guard="the same, once the letter is closed",
    ),
    *_rows(
        JOB,
        "ask",
        _to(JobState.ATTENTION, JobState.RUNNING, JobState.COMPENSATING),
        who="an operation that was given up, or that is late",
        by=["engine.jobs.dead_letters.require_attention"],
        write=_CHANGE,
        guard="a blocking dead letter is opened in the same transaction",
    ),
    *_rows(
        JOB,
        "resume",
        [
            (JobState.ATTENTION, JobState.RUNNING),
            (JobState.ATTENTION, JobState.COMPENSATING),
        ],
        who="a person's decision, or the end of what was late",
        by=["engine.jobs.dead_letters.nobody_is_asked"],
        write=_CHANGE,
        guard="no blocking dead letter is open any more; the job goes on in its direction",
    ),
    *_rows(
        JOB,
        "finish",
        _to(JobState.COMPLETED, JobState.RUNNING),
        who="the move that ends its last operation",
        by=["engine.jobs.release.finish", "engine.jobs.completion._complete_forward"],
        write=[*_CHANGE, _FAST],
        guard="the job goes forward, nothing of it is live, and nothing is to be confirmed",
    ),
    *_rows(
        JOB,
        "finish",
        [
            *_to(JobState.COMPLETED, JobState.ATTENTION),
            *_to(JobState.FAILED, JobState.RUNNING, JobState.COMPENSATING, JobState.ATTENTION),
            *_to(JobState.CANCELLED, JobState.RUNNING, JobState.COMPENSATING, JobState.ATTENTION),
        ],
        who="the move that ends its last operation",
        by=["engine.jobs.release.finish"],
        write=_CHANGE,
        guard="nothing of it is live, and no blocking letter is open but about lateness. A job that "
        "turns with nothing to undo, or that a person lets go on to its end, ends in the same move",
    ),
)

_OF_OPERATIONS = (
    *_rows(
        OPERATION,
        "create",
        [*_to(OpState.PENDING, None), *_to(OpState.QUEUED, None)],
        who="submit (actions), turn (undos), the last action (confirmations)",
        by=[
            "engine.jobs.submit._Job.insert_at_once",
            "engine.jobs.submit._Job.insert",
            "engine.jobs.compensation.start_compensation",
            "engine.jobs.release._confirm",
        ],
        write=["operation_writes.insert_operations", "postgres_fast_path.insert_job"],
        guard="an operation that misses nothing is queued at once",
    ),
    *_rows(
        OPERATION,
        "release",
        _to(OpState.QUEUED, OpState.PENDING),
        who="the end of an operation that it waited for",
        by=[
            "engine.jobs.release._decrement_dependencies",
            "engine.jobs.completion._complete_forward",
        ],
        write=["operation_writes.lower_missing", _FAST],
        guard="that was the last one missing; under the job's lock",
    ),
    *_rows(
        OPERATION,
        "ride",
        _to(OpState.QUEUED, OpState.PENDING),
        who="a move whose message carries a chain",
        by=["engine.jobs.transaction.JobTransaction._plan"],
        write=["message_writes.ride_along"],
        guard="it stands behind a ready operation in a message that leaves now",
    ),
    *_rows(
        OPERATION,
        "requeue stranded",
        _to(OpState.QUEUED, OpState.PENDING),
        who="the relay",
        by=["engine.relay.duties.stranded._queue"],
        write=["operation_writes.queue_operations"],
        guard="nothing is missing, so it should have been released",
    ),
    *_rows(
        OPERATION,
        "claim",
        _to(OpState.RUNNING, OpState.QUEUED),
        who="a worker",
        by=[
            "engine.jobs.claiming.claim",
            "engine.jobs.claiming.claim_to_work",
            "engine.jobs.completion._run_on",
            "engine.jobs.completion._complete_forward",
        ],
        write=[*_CLAIMS, _FAST],
        guard="nothing is missing, it is not asked to stop, and attempts are left. Under a lease "
        "that has run out `running` is claimed again, with a new fence",
    ),
    *_rows(
        OPERATION,
        "release and claim",
        _to(OpState.RUNNING, OpState.PENDING),
        who="a worker that runs on",
        by=["engine.jobs.completion._complete_forward"],
        write=[_FAST],
        guard="one statement of PostgreSQL completes what it waited for, releases and claims it",
    ),
    *_rows(
        OPERATION,
        "complete",
        _to(OpState.COMPLETED, OpState.RUNNING),
        who="the worker that holds it",
        by=["engine.jobs.completion.complete", "engine.jobs.completion._complete_forward"],
        write=["attempt_writes.finish_running_operation", _FAST],
        guard="the token is that of the attempt",
    ),
    *_rows(
        OPERATION,
        "park",
        _to(OpState.WAITING, OpState.RUNNING),
        who="the worker that holds it",
        by=[
            "engine.jobs.operations.park",
            "engine.jobs.operations._fail_running",
            "engine.jobs.unreadable.park",
            "engine.worker.gates._park",
        ],
        write=_END,
        guard="the token is that of the attempt; there is a reason and a time",
    ),
    *_rows(
        OPERATION,
        "park unclaimed",
        _to(OpState.WAITING, OpState.QUEUED),
        who="a worker without its definition",
        by=["engine.worker.execute._other_version"],
        write=["operation_writes.wait_for_version"],
        guard="it is ready and not past its queue time-out",
    ),
    *_rows(
        OPERATION,
        "requeue",
        _to(OpState.QUEUED, OpState.RUNNING),
        who="a worker that shuts down, or the relay or worker that finds the attempt lost",
        by=["engine.jobs.operations._requeued"],
        write=_END,
        guard="the token is that of the attempt, and the lease has run out where the relay does it",
    ),
    *_rows(
        OPERATION,
        "fail",
        _to(OpState.FAILED, OpState.RUNNING),
        who="the worker that holds it, or the relay or worker that finds the attempt lost",
        by=["engine.jobs.operations._fail_running"],
        write=_END,
        guard="the token is that of the attempt; no further attempt follows",
    ),
    *_rows(
        OPERATION,
        "queue time-out",
        _to(OpState.FAILED, OpState.QUEUED),
        who="the relay",
        by=["engine.jobs.operations.nobody_came"],
        write=["operation_writes.fail_unclaimed"],
        guard="it is ready, past its queue time-out, and its saga gives it up then",
    ),
    *_rows(
        OPERATION,
        "wake",
        _to(OpState.QUEUED, OpState.WAITING),
        who="the relay when its time has come, or the job that ends and held its lock",
        by=[
            "engine.relay.duties.timers.Timers._wake",
            "limits.locks.release",
            "limits.locks.leave",
        ],
        write=["operation_writes.wake_due", "locks.wake_first"],
        guard="its time has come, or it is first in line for a lock that is free",
    ),
    *_rows(
        OPERATION,
        "drop",
        _to(OpState.DROPPED, OpState.PENDING, OpState.QUEUED, OpState.WAITING),
        who="the turn",
        by=["engine.jobs.compensation.start_compensation"],
        write=["operation_writes.drop_waiting_actions"],
        guard="it is an action and has never started",
    ),
    *_rows(
        OPERATION,
        "abandon unclaimed",
        _to(OpState.ABANDONED, OpState.PENDING, OpState.QUEUED, OpState.WAITING),
        who="the turn",
        by=["engine.jobs.compensation.start_compensation"],
        write=["operation_writes.drop_waiting_actions"],
        guard="it is an action and has started before",
    ),
    *_rows(
        OPERATION,
        "abandon",
        _to(OpState.ABANDONED, OpState.RUNNING),
        who="the worker that holds it, or the relay or worker that finds the attempt lost",
        by=["engine.jobs.operations._abandon"],
        write=_END,
        guard="the token is that of the attempt, it is an action, and the job has turned",
    ),
    *_rows(
        OPERATION,
        "skip",
        _to(OpState.SKIPPED, OpState.PENDING, OpState.QUEUED, OpState.WAITING),
        who="the end of its action",
        by=["engine.jobs.release.resolve_abandoned_action"],
        write=["operation_writes.skip_operation"],
        guard="it is an undo, and its action is known to have had no effect",
    ),
    *_rows(
        OPERATION,
        "retry",
        _to(OpState.QUEUED, OpState.FAILED),
        who="a person, or the SLA's redrive",
        by=["engine.operators.decisions._fresh_attempts"],
        write=_DECIDE,
        guard="its blocking dead letter is closed in the same transaction",
    ),
    *_rows(
        OPERATION,
        "mark done",
        _to(OpState.COMPLETED, OpState.FAILED),
        who="a person",
        by=["engine.operators.decisions.mark_done"],
        write=_DECIDE,
        guard="its blocking dead letter is closed in the same transaction",
    ),
    *_rows(
        OPERATION,
        "waive",
        _to(OpState.SKIPPED, OpState.FAILED),
        who="a person",
        by=["engine.operators.decisions.waive"],
        write=_DECIDE,
        guard="its blocking dead letter is closed in the same transaction",
    ),
)

_OF_LETTERS = (
    *_rows(
        LETTER,
        "open",
        _to(LetterState.OPEN, None),
        who="an operation that was given up, or a job that is late",
        by=["engine.jobs.dead_letters.open_letter"],
        write=[],
        guard="no letter about this operation is open, but one about lateness, which gives way",
    ),
    *_rows(
        LETTER,
        "close",
        _to(LetterState.CLOSED, LetterState.OPEN),
        who="a person, a resubmitted job, or what came after",
        by=[
            "engine.operators.decisions._carry_out",
            "engine.operators.redrive.discard_letter",
            "engine.operators.resubmit.resubmit",
            "engine.jobs.dead_letters.open_letter",
            "engine.jobs.dead_letters.no_longer_late",
        ],
        write=["dead_letters.close", "dead_letters.close_of_job"],
        guard="it is open: of two that close it one wins",
    ),
)

TRANSITIONS = (*_OF_JOBS, *_OF_OPERATIONS, *_OF_LETTERS)


def changes_of(machine: Machine) -> set[tuple[str, str]]:
    """(before, after) of every change of a row that exists."""
    return {
        (str(row.before), str(row.after))
        for row in TRANSITIONS
        if row.machine is machine and row.before is not None
    }


def final(machine: Machine) -> tuple[str, ...]:
    """The states that no row leaves, in the order of the enum."""
    left = {before for before, _ in changes_of(machine)}
    return tuple(str(s) for s in machine.states if str(s) in machine.meaning and str(s) not in left)
