"""What has states, and what each stored state means.

`rules.transitions` says what leads from one to another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from surefoot.app.rules.states import JobState, LetterState, OpState


@dataclass(frozen=True, eq=False)
class Machine:
    """What has states. `table`: of the store; `meaning`: a sentence for each state that is stored."""

    name: str
    table: str
    states: type[StrEnum]
    meaning: Mapping[str, str]


JOB = Machine(
    "job",
    "surefoot_jobs",
    JobState,
    {
        JobState.RUNNING: "The job goes forward. It is shown as `pending` while no operation was "
        "ever claimed, and as `waiting` while everything that is live is parked.",
        JobState.COMPENSATING: "The job has turned: what was done is undone, last first.",
        JobState.ATTENTION: "A person must decide. Whatever does not depend on that goes on.",
        JobState.COMPLETED: "Every step has been done or waived.",
        JobState.FAILED: "The job turned for another reason than a cancel, and its undos are done "
        "or waived.",
        JobState.CANCELLED: "The job turned because it was cancelled, and its undos are done or "
        "waived.",
    },
)
OPERATION = Machine(
    "operation",
    "surefoot_operations",
    OpState,
    {
        OpState.PENDING: "It waits for other operations of its job (`pending_dependencies` of them).",
        OpState.QUEUED: "A message for it has left, or is about to. With nothing missing it is "
        "ready: a worker may claim it. With something missing it rides behind another operation "
        "of its chain.",
        OpState.RUNNING: "A worker holds it under a lease. The fence and the token name this "
        "attempt, and no other attempt can write its outcome.",
        OpState.WAITING: "It is parked for a reason (`rules.waits`), until a time at the latest.",
        OpState.COMPLETED: "It has taken effect, and its result is stored.",
        OpState.SKIPPED: "It counts as done: it had nothing to do, or a person waived it.",
        OpState.FAILED: "It is given up for a reason (`rules.reasons`). Where a person is asked, a "
        "dead letter holds the job; where the job turned, it stays as it is.",
        OpState.DROPPED: "The job turned before this action had ever started.",
        OpState.ABANDONED: "The job turned after this action had started. Its undo settles what it "
        "may have done.",
    },
)
LETTER = Machine(
    "dead letter",
    "surefoot_dead_letters",
    LetterState,
    {
        LetterState.OPEN: "An operation was given up, or a job is late, and nobody has decided "
        "about it. A blocking letter holds its job in `attention`.",
        LetterState.CLOSED: "Somebody decided (`rules.decisions`), the job was resubmitted, or what "
        "came after made the question void.",
    },
)
MACHINES = (JOB, OPERATION, LETTER)
