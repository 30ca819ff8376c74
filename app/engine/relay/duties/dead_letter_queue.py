"""Open dead letters in the broker's lane `dead`: its depth and content follow the store, whatever
happens to the broker.

New letters are put behind what is there. When one is closed, or the depth is not what was left
there (a broker that lost it, somebody who took one out, another relay before this one), the whole
is put there anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import structlog
from sqlalchemy import Engine

from surefoot.app.config import Settings
from surefoot.app.errors import BrokerUnavailable
from surefoot.app.store import dead_letters
from surefoot.app.store.rows.dead_letters import MirroredLetterRow
from surefoot.app.store.session import reading

log = structlog.get_logger("surefoot.mirror")
SHARE = 20  # putting everything there anew takes at most one part in so many of the relay's time


class Lane(Protocol):
    """The queue. Each call may raise BrokerUnavailable."""

    def depth(self) -> int: ...

    def append(self, bodies: Sequence[dict[str, Any]]) -> None: ...

    def replace(self, bodies: Sequence[dict[str, Any]]) -> None: ...


@dataclass
class Mirror:
    """One relay's.

    Remembers which letters it left in the lane; a new relay knows nothing and begins anew.
    """

    db: Engine
    settings: Settings
    lane: Lane
    clock: Callable[[], float] = time.monotonic
    name: ClassVar[str] = "mirrored"
    shown: tuple[str, ...] | None = None
    _not_before: float = float("-inf")
    _no_replace_before: float = float("-inf")

    def run_once(self) -> int:
        """Bring the lane up to date when SUREFOOT_MIRROR_SECONDS have passed.

        Returns how many messages were put there.
        """
        if self.clock() < self._not_before:
            return 0
        self._not_before = self.clock() + self.settings.mirror_seconds
        with reading(self.db, name="relay.mirrored") as connection:
            rows = dead_letters.to_mirror(connection, self.settings.mirror_letters)
        try:
            return self._follow(rows)
        except BrokerUnavailable:
            self.shown = None
            return 0

    def _follow(self, rows: Sequence[MirroredLetterRow]) -> int:
        wanted = tuple(row.id for row in rows)
        depth = self.lane.depth()
        known = self.shown is not None and depth == len(self.shown)
        if known and wanted == self.shown:
            return 0
        if known and self.shown is not None and wanted[: len(self.shown)] == self.shown:
            new = [_body(row) for row in rows[len(self.shown) :]]
            self.shown = None  # until it is known to be there
            self.lane.append(new)
            self.shown = wanted
            return len(new)
        return self._replace(rows, wanted)

    def _replace(self, rows: Sequence[MirroredLetterRow], wanted: tuple[str, ...]) -> int:
        began = self.clock()
        if began < self._no_replace_before:
            return 0
        self.shown = None
        self.lane.replace([_body(row) for row in rows])
        self.shown = wanted
        self._no_replace_before = self.clock() + SHARE * (self.clock() - began)
        return len(wanted)


def _body(row: MirroredLetterRow) -> dict[str, Any]:
    names = {
        "letter": row.id,
        "job": row.job_id,
        "saga": row.saga,
        "step": row.step,
        "item": row.item,
    }
    return names | {"kind": row.kind, "why": row.why}
