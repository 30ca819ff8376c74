"""What a step may say besides its result.

Expected outcomes are values: a step returns `NotYet`, a probe `Happened(result)`, `NEVER` or
`UNKNOWN`. Refusals and final failures are exceptions, because they end the function from deep
inside. Whatever else a step raises is a surprise of unknown outcome: it is tried again, and undone
if the job turns.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from surefoot.app.errors import SurefootError
from surefoot.app.saga.policies import seconds as in_seconds


class Rejected(SurefootError):
    """The participant said no: nothing happened, and trying again would not help."""

    nothing_happened = True


class Failed(SurefootError):
    """The step has had an effect, or may have had one, and trying again would not help: the job is
    undone, this step too.

    `result`: what of its result is known, for its undo; of the type that the step returns.
    """

    ends_for_good = True

    def __init__(self, message: str | None = None, *, result: Any = None, **details: Any) -> None:
        super().__init__(message, **details)
        self.result = result


class RetryLater(SurefootError):
    """Try again, not before a given time. Uses an attempt; says nothing about what happened."""

    def __init__(self, seconds: float | str, message: str | None = None, **details: Any) -> None:
        """`seconds`: a number of them, or "30s", "10m"."""
        self.seconds = in_seconds(seconds)
        super().__init__(message or f"Try again in {self.seconds:g} s.", **details)


class NothingSent(SurefootError):
    """The participant was never reached (no connection): nothing can have happened. Tried again."""

    nothing_sent = True


@dataclass(frozen=True)
class NotYet:
    """Returned by a step that has nothing to report yet: it is called again `after` seconds (or
    "30s"), without using an attempt.
    """

    after: float | str

    def __post_init__(self) -> None:
        object.__setattr__(self, "after", in_seconds(self.after))

    @property
    def seconds(self) -> float:
        return in_seconds(self.after)


@dataclass(frozen=True)
class Happened:
    """A probe's answer: the action took effect, and this was its result."""

    result: Any = None


class Answer(Enum):
    """A probe's other answers.

    `NEVER`: no effect is there. `UNKNOWN`: cannot be told now; asked again.
    """

    NEVER = "never"
    UNKNOWN = "unknown"

    def __repr__(self) -> str:
        return self.name


NEVER: Literal[Answer.NEVER] = Answer.NEVER
UNKNOWN: Literal[Answer.UNKNOWN] = Answer.UNKNOWN
Probed = Happened | Answer
