"""A connection and what is waited for on it. Each wait has an end."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from enum import Enum

from gunicorn.workers.gthread import TConn

from surefoot.app.config import Settings
from surefoot.app.serving.incoming import Incoming
from surefoot.app.serving.outgoing import Outgoing

LINGER_S = 2.0  # of taking in what a peer still sends after our last word, so that it reads that


class Wait(Enum):
    """What a connection waits for. IN_HAND: a thread has it, and the loop leaves it alone."""

    SILENT = "the first byte of a request"
    HEAD = "the rest of a head"
    BODY = "the rest of a body"
    IN_HAND = "a thread"
    READER = "a peer to read its answer"
    END = "the peer to close"


@dataclass(frozen=True)
class Patience:
    """How long each wait may take, seconds. `least_rate`: bytes a second of a body, and of the
    reading of an answer."""

    head_s: float
    body_s: float
    answer_s: float
    keepalive_s: float
    least_rate: int

    @classmethod
    def of(cls, told: Settings) -> Patience:
        return cls(
            told.head_seconds,
            told.body_seconds,
            told.answer_seconds,
            told.keepalive_seconds,
            told.least_rate_bytes,
        )

    def moving(self, most_s: float, moved: int) -> float:
        """How long a transfer may take after `moved` bytes: as long as it keeps up
        with the least rate."""
        return min(most_s, self.head_s + moved / self.least_rate)


class Connection(TConn):  # type: ignore[misc]  # gunicorn has no types
    """`since`: when the present wait began; `room`: bytes of the common room that it has; `kept`:
    it had an answer before."""

    incoming: Incoming
    outgoing: Outgoing | None = None
    wait = Wait.SILENT
    since = 0.0
    room = 0
    drained = 0
    kept = False
    keeps = False  # after the present answer
    closed = False

    def begin(self, wait: Wait) -> None:
        self.wait, self.since = wait, time.monotonic()

    def ends_at(self, patience: Patience) -> float:
        """When the present wait is over, by the monotonic clock."""
        return self.since + self._lasts_s(patience)

    def _lasts_s(self, patience: Patience) -> float:
        match self.wait:
            case Wait.SILENT:
                return patience.keepalive_s if self.kept else patience.head_s
            case Wait.HEAD:
                return patience.head_s
            case Wait.BODY:
                return patience.moving(patience.body_s, self.incoming.body_received)
            case Wait.READER:
                return patience.moving(
                    patience.answer_s, self.outgoing.sent if self.outgoing else 0
                )
            case Wait.END:
                return LINGER_S
        return math.inf
