"""Why an operation is parked (`operations.wait_reason`), and what is said of it.

A new reason is one member here, the place that parks with it, and its test: state, `why`, sweep and
metrics ask the row.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class WaitingFor(StrEnum):
    """What a job waits for, as `why` names it. `rank`: what is told first."""

    _value_: str
    rank: int

    def __new__(cls, value: str, rank: int = 0) -> WaitingFor:
        member = str.__new__(cls, value)
        member._value_, member.rank = value, rank
        return member

    PERSON = "person", 0
    DEFINITION = "definition", 0
    STEP = "step", 0
    STOP = "stop", 0
    LOCK = "lock", 1
    TIME = "time", 1
    VERSION = "version", 2
    WORKER = "worker", 2


@dataclass(frozen=True)
class WaitRule:
    """What follows from a wait reason.

    Every parked operation has a time at which the sweep wakes it.

    `sentence`, `what`, `next`: templates over `title` (of the operation), `error`, `attempt`,
    `when` (it is woken), `version`, `saga` and `digest` (of its job), and `unattended` (that it has
    waited past its time).
    `busy`: work in hand, so the job is shown as running; else it is shown as waiting.
    `for_worker`: a worker that can do it ends the wait; the queue time-out goes on, and past it the
    operation is given up where its saga says so.
    `hastened`: the time may be put forward, for nothing outside decides about it.
    `of_job`: `why` tells it once for the job, not for each operation.
    """

    shown_as: WaitingFor
    sentence: str = ""
    what: str = ""
    next: str = ""
    busy: bool = False
    for_worker: bool = False
    hastened: bool = False
    of_job: bool = False


LATER = WaitRule(  # a reason that only a later release knows
    WaitingFor.TIME,
    "{title} waits and goes on at {when}",
    "{title} to go on",
    "{title} goes on",
)


class WaitReason(StrEnum):
    """Why an operation is parked."""

    _value_: str
    rule: WaitRule

    def __new__(cls, value: str, rule: WaitRule = LATER) -> WaitReason:
        member = str.__new__(cls, value)
        member._value_, member.rule = value, rule
        return member

    RETRY = (  # between two attempts
        "retry",
        WaitRule(
            WaitingFor.TIME,
            "{title} did not succeed ({error}), attempt {attempt}; it is tried again at {when}",
            "the next attempt of {title}",
            "{title} is tried again",
            busy=True,
            hastened=True,
        ),
    )
    NOT_YET = (  # the step said so
        "not_yet",
        WaitRule(
            WaitingFor.TIME,
            "{title} is not done yet and checks again at {when}",
            "{title} to check again",
            "{title} checks again",
        ),
    )
    LOCK = "lock", WaitRule(WaitingFor.LOCK, of_job=True)  # another job holds a semantic lock
    VERSION = (  # the worker that took it lacks its definition
        "version",
        WaitRule(
            WaitingFor.VERSION,
            "{title} needs a worker with version {version} of {saga} (definition {digest}), "
            "and no live worker has it{unattended}",
            "a worker with version {version} of {saga} (definition {digest})",
            "such a worker takes {title}",
            for_worker=True,
            hastened=True,
        ),
    )
    UNREADABLE = (  # the worker's code cannot read what is stored
        "unreadable",
        WaitRule(
            WaitingFor.VERSION,
            "{title} waits, no attempt is used: {error}{unattended}",
            "a worker whose code can read the input of {title}",
            "such a worker takes {title}",
            for_worker=True,
        ),
    )


_BY_WORD = {str(wait): wait for wait in WaitReason}
BUSY = tuple(str(wait) for wait in WaitReason if wait.rule.busy)
FOR_WORKER = tuple(str(wait) for wait in WaitReason if wait.rule.for_worker)
HASTENED = tuple(str(wait) for wait in WaitReason if wait.rule.hastened)


def rule_of(wait: str | None) -> WaitRule:
    """The row of a word that the store holds."""
    return _BY_WORD[wait].rule if wait in _BY_WORD else LATER
