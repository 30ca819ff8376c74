"""The relay's duties are isolated from each other, and the rows of a duty too: what cannot be
handled is left out, and told.

A row that fails (a definition of a newer release, a bug) is set aside for a while. It takes no room
of the next reads, however many such rows there are, so what stands behind them is always reached. A
newer relay knows nothing of what was set aside and tries at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

import structlog

from surefoot.app.errors import StoreUnavailable
from surefoot.app.metrics.counters import SWEEP_FAILED

T = TypeVar("T")
log = structlog.get_logger("surefoot.sweep")
AGAIN_S = 60.0  # when a row that was set aside is tried again
ASIDE_MOST = 10_000  # rows of one duty; beyond it the first are tried again earlier
# failures in a row with "the store is away", while it answers otherwise: the row itself is in the
# way
STRIKES = 3


@dataclass
class Isolated:
    """One relay's.

    `strict`: let mistakes through, for tests and the simulation, which look for them.
    """

    strict: bool = False
    failed: dict[str, int] = field(default_factory=dict)  # duty -> failures of this round
    _aside: dict[str, dict[Hashable, float]] = field(
        default_factory=dict
    )  # duty -> row -> until when, time.monotonic()
    _strikes: dict[tuple[str, Hashable], int] = field(default_factory=dict)
    _told: dict[str, set[str]] = field(default_factory=dict)  # duty -> failures that the log has

    def room(self, duty: str, rows: int) -> int:
        """How many rows a read of this duty asks for, so that `rows` of them are none that were set
        aside.
        """
        return rows + len(self._aside.get(duty, ()))

    def each(self, duty: str, rows: Iterable[T], act: Callable[[T], int]) -> int:
        """Act on each row (an id, or something with one) that is not set aside. Returns the sum.

        Raises: StoreUnavailable, until the row is known to be the cause.
        """
        aside, done = self._aside.setdefault(duty, {}), 0
        for one in rows:
            row: Hashable = getattr(one, "id", one)
            if aside.get(row, 0.0) > time.monotonic():
                continue
            try:
                done += act(one)
            except StoreUnavailable as error:
                strikes = self._strikes[duty, row] = self._strikes.get((duty, row), 0) + 1
                if strikes < STRIKES:
                    raise
                self._set_aside(duty, row, error)
            except Exception as error:
                if self.strict:
                    raise
                self._set_aside(duty, row, error)
            else:
                aside.pop(row, None)
                self._strikes.pop((duty, row), None)
        return done

    def whole(self, duty: str, act: Callable[[], int], store_answers: Callable[[], bool]) -> int:
        """Do a duty.

        Returns what it did; 0 when it failed. Raises: StoreUnavailable, unless the store answers
        otherwise.
        """
        try:
            done = act()
        except StoreUnavailable as error:
            if not store_answers():
                raise
            self._note(duty, "", error)
            return 0
        except Exception as error:
            if self.strict:
                raise
            self._note(duty, "", error)
            return 0
        if not self._aside.get(duty):
            self._told.pop(duty, None)
        return done

    def _set_aside(self, duty: str, row: Hashable, error: Exception) -> None:
        aside = self._aside[duty]
        self._strikes.pop((duty, row), None)
        aside.pop(row, None)
        if len(aside) >= ASIDE_MOST:
            aside.pop(next(iter(aside)))
        aside[row] = time.monotonic() + AGAIN_S
        self._note(duty, row, error)

    def _note(self, duty: str, row: Hashable, error: Exception) -> None:
        """Counted each time; a line of log for each kind of failure of a duty, naming the first
        row.
        """
        self.failed[duty] = self.failed.get(duty, 0) + 1
        SWEEP_FAILED.add(duty=duty)
        told, said = self._told.setdefault(duty, set()), f"{type(error).__name__}: {error}"
        if said not in told:
            told.add(said)
            about = {"row": str(row)} if row else {}
            log.error(
                "sweep.failed",
                duty=duty,
                **about,
                error=said,
                exc_info=not isinstance(error, StoreUnavailable),
            )
