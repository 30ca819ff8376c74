"""How long and how often: durations, attempts, backoff. Pure; randomness is an argument."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from surefoot.app.config import LONGEST_S
from surefoot.app.saga.graph import Limits

ACTION_ATTEMPTS = 5
UNDO_ATTEMPTS = 10
ACTION_QUEUE_S, UNDO_QUEUE_S = (
    900.0,
    3600.0,
)  # how long nobody may come before that is told; confirmations as actions
PAST_PIVOT_ATTEMPTS = (
    20  # also of confirmations: there is no way back, so patience is cheaper than a person
)

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")


def seconds(duration: float | str) -> float:
    """Seconds of "30s", "10m", "2h", "1d", "500ms" or of a number of seconds.

    Raises: ValueError for anything else, negative and endless ones and those above LONGEST_S
    included.
    """
    found: float = -1
    if isinstance(duration, str) and (match := _DURATION.fullmatch(duration.strip())):
        found = float(match[1]) * _UNITS_S[match[2]]
    elif isinstance(duration, (int, float)) and not isinstance(duration, bool):
        found = duration
    if found > LONGEST_S and found != math.inf:
        raise ValueError(f"{duration!r} is too long: say at most {LONGEST_S / 86400:.0f} days")
    if 0 <= found < math.inf:
        return float(found)
    raise ValueError(
        f"{duration!r} is not a duration: say a number of seconds, or a text like '30s', '10m' or '2h'"
    )


@dataclass(frozen=True)
class Retry:
    """How long an operation is tried, or how often, and how long it waits between tries.

    `for_`: how long it may fail before it is given up, from its first failure ("10m"); left out, as
    long as its job may take (`sla`), an undo and what is past the pivot twice as long. `limit`:
    attempts in all; those that never reached the service (`NothingSent`) do not count, as long as
    there is time. With both, whatever ends first. Mistakes of the code (TypeError and its like) and
    attempts that cost their worker are bounded by attempts in any case: 5 of an action, 10 of an
    undo, 20 past the pivot. The wait before attempt n+1 is drawn evenly from 0 to `backoff` *
    `factor`^(n-1), at most `cap`.
    """

    limit: int | None = None
    backoff: float | str = "1s"
    factor: float = 2
    cap: float | str = "60s"
    for_: float | str | None = None

    def __post_init__(self) -> None:
        if self.limit is not None and (
            isinstance(self.limit, bool) or not isinstance(self.limit, int) or self.limit < 1
        ):
            raise ValueError(
                f"Retry(limit={self.limit!r}): an operation has 1 attempt or more, so say a whole number from 1 on"
            )
        if (
            isinstance(self.factor, bool)
            or not isinstance(self.factor, (int, float))
            or not 1 <= self.factor < math.inf
        ):
            raise ValueError(
                f"Retry(factor={self.factor!r}): waits do not shrink, so say a number from 1 on"
            )
        seconds(self.backoff), seconds(self.cap)
        if self.for_ is not None and seconds(self.for_) <= 0:
            raise ValueError(
                f"Retry(for_={self.for_!r}) is not a duration: say more than 0 seconds"
            )

    def limits(
        self,
        *,
        attempts: int,
        timeout_s: float,
        queue_timeout_s: float,
        heartbeat_timeout_s: float | None = None,
        gives_up: bool = False,
    ) -> Limits:
        """These policies as limits of one operation. `attempts`: the default of its kind."""
        return Limits(
            attempts=attempts if self.limit is None else self.limit,
            timeout_s=timeout_s,
            queue_timeout_s=queue_timeout_s,
            backoff_s=seconds(self.backoff),
            backoff_factor=float(self.factor),
            backoff_cap_s=seconds(self.cap),
            heartbeat_timeout_s=heartbeat_timeout_s,
            gives_up=gives_up,
            counted=self.limit is not None,
            for_s=None if self.for_ is None else seconds(self.for_),
        )


def backoff(limits: Limits, attempt: int, random: Callable[[], float]) -> float:
    """Seconds to wait after the failed attempt number `attempt` (from 1), with full jitter.

    `random` gives a number from 0 to 1, like `random.random`.
    """
    try:
        longest = limits.backoff_s * limits.backoff_factor ** max(0, attempt - 1)
    except OverflowError:  # a hasty factor, many attempts: the cap is all that counts
        longest = math.inf
    return random() * min(limits.backoff_cap_s, longest)
