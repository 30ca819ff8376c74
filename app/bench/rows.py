"""What is measured, and against what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line of the table.

    `what`: how the client knows it; `team`: whose workers run it; `share`: of the jobs of a batch.
    """

    letter: str
    what: str
    title: str
    team: str
    peer: str | None  # `what` of the plain row it is compared with; None for a plain row
    events: bool = False
    share: float = 1.0

    @property
    def name(self) -> str:
        return f"{self.what}_events" if self.events else self.what

    @property
    def peer_name(self) -> str | None:
        return f"{self.peer}_events" if self.peer and self.events else self.peer

    @property
    def workers(self) -> str:
        """The name of its workers: a team has one worker for events off and one for events on."""
        return f"{self.team}-events" if self.events else self.team


WIDE = 0.25  # a fork of ten is eleven operations: fewer jobs, the same time
PLAIN = (
    Row("a", "one_lane", "saga of 3, one lane", "engine", "chain"),
    Row("b", "lanes", "saga of 3, three lanes", "engine", "chain"),
    Row("c", "chain", "plain chain of 3", "plain", None),
    Row("d", "loop", "hand-written loop of 3", "loop", "chain"),
    Row("e", "fork", "saga, fork of 10 + join", "engine", "chord", share=WIDE),
    Row("f", "chord", "plain chord of 10 + body", "plain", None, share=WIDE),
    Row("g", "fork_apart", "(e), none of it batchable", "engine", "chord", share=WIDE),
)
WATCHED = tuple(
    Row(r.letter, r.what, r.title, r.team, r.peer, True, r.share) for r in PLAIN if r.team != "loop"
)  # a loop has no events
ALL = PLAIN + WATCHED


def of_round(number: int) -> Sequence[Row]:
    """The rows of round `number` (from 0): those with events in every second round, and every
    second round backwards.

    Backwards, so that what drifts (a heating machine, a growing table) favours no row.
    """
    rows = ALL if number % 2 == 0 else PLAIN
    return rows if number % 2 == 0 else tuple(reversed(rows))
