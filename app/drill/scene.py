"""One row being played: what has happened so far, and whose turn chance says it is."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from random import Random

from surefoot.app.drill.row import Disturbance, FaultInjection, Row
from surefoot.app.rules.events import HistoryEvent
from surefoot.app.store.rows.jobs import HistoryRow

MOST_ANSWERS = 50  # of one step that says NotYet, and nothing else happens to it
IN_VAIN_S = 3600.0  # of virtual time
REALLY_S = 2.0


@dataclass
class Waiting:
    """A step that says NotYet.

    `since_s`: virtual; `since`: on time.monotonic(); `first`: its attempt.
    """

    step: str
    since_s: float
    since: float
    first: int
    answers: int = 0
    virtual_s: float = 0.0

    def in_vain(self) -> bool:
        """Often enough, and long enough by both clocks: what runs beside the drill in real time was
        given a while.
        """
        return (
            self.answers >= MOST_ANSWERS
            and self.virtual_s >= IN_VAIN_S
            and time.monotonic() - self.since >= REALLY_S
        )


@dataclass
class Scene:
    """`job_ids`: the row's job, and others that run beside it; `places`: the lines that the
    operation came to; `kept_in`: a worker could not be stopped at its line, because a transaction
    was open there; `stopped`: workers that stand still.
    """

    row: Row
    rng: Random
    began_s: float
    job_ids: list[str] = field(default_factory=list)
    seq: Counter[str] = field(
        default_factory=Counter
    )  # job -> the last line of its history that was read
    quiet: bool = False
    away: bool = False
    was_away: bool = False
    kept_in: bool = False
    trace: list[str] = field(default_factory=list)
    places: dict[str, None] = field(default_factory=dict)
    at_work: list[int] = field(
        default_factory=list
    )  # workers, the one whose call is the innermost last
    stopped: list[int] = field(default_factory=list)
    fired: Counter[FaultInjection] = field(default_factory=Counter)
    outage: ExitStack = field(default_factory=ExitStack)

    not_yet: dict[str, Waiting] = field(
        default_factory=dict
    )  # operation -> its answers NotYet since anything else happened to it

    def heard(self, row: HistoryRow, now_s: float) -> None:
        """A line of history was read."""
        operation = f"{row.step}.{row.kind}"
        if row.event == HistoryEvent.PARKED and row.attempt is not None:
            waiting = self.not_yet.setdefault(
                operation, Waiting(str(row.step), now_s, time.monotonic(), row.attempt)
            )
            waiting.answers = row.attempt - waiting.first + 1  # not each of them has a line
            waiting.virtual_s = now_s - waiting.since_s
        elif row.step and row.event not in ("claimed", "resumed"):
            self.not_yet.pop(operation, None)

    def waits_for_nothing(self) -> bool:
        """Whether a step says NotYet again and again, though a drill's time has passed: it waits
        for what does not come here.
        """
        return not self.away and any(waiting.in_vain() for waiting in self.not_yet.values())

    def waited_for(self) -> tuple[str, str]:
        """(step, why) where a job waits for a step that says NotYet."""
        for waiting in self.not_yet.values():
            if waiting.answers >= MOST_ANSWERS:
                hours = waiting.virtual_s / 3600
                return waiting.step, (
                    f"{waiting.step} answered NotYet {waiting.answers:,} times in {hours:,.1f} hours of the drill's time. "
                    "Does it look at the wall clock (time.time(), datetime.now())? In a drill only ctx.now() passes"
                )
        return "", ""

    @property
    def job_id(self) -> str:
        """The row's own job; "" before it is there."""
        return self.job_ids[0] if self.job_ids else ""

    def all_fired(self, *strikes: FaultInjection) -> bool:
        """Whether each of these has struck as often as it should."""
        return all(self.fired[strike] == strike.times for strike in strikes)

    def met(self, *, tricked: bool) -> bool:
        """Whether the row has come to what it is about.

        `tricked`: the broker has done to a message what the row says.
        """
        row = self.row
        if row.trick == Disturbance.OUTAGE:
            return self.was_away
        if row.trick == Disturbance.TWO:
            return self.all_fired(*row.strikes)
        if row.trick == Disturbance.GONE or row.strike is None:
            return self.all_fired(*row.strikes) and (row.trick is None or tricked)
        return self.all_fired(row.strike, *row.then)


@contextmanager
def seeded(chance: str) -> Iterator[None]:
    """The jitter of back-offs comes from the seed too."""
    before = random.getstate()
    random.seed(chance)
    try:
        yield
    finally:
        random.setstate(before)
