"""One timeline of an order: what four services wrote down, each in its own database, put together
by who caused what.

Nobody has it as a whole, and the clocks of four databases are four clocks. So the order of the
lines is that of causes: an event stands below the one that caused it, and times only sort what is
side by side.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select

from surefoot.workers.sagas.order_choreographed.desk import inbox, letters, outbox
from surefoot.workers.sagas.order_choreographed.service import Service


@dataclass(frozen=True)
class Heard:
    """One service's copy of an event.

    `state`: waiting, handled or failed; `note`: why it changed nothing, or its last error.
    """

    service: str
    at: datetime
    state: str
    attempts: int
    handled_at: datetime | None
    note: str | None


@dataclass
class Said:
    """An event.

    `by`: the service that says it, None when only others have heard of it; `sends`: how often it
    was sent.
    """

    id: str
    kind: str
    causation: str | None
    by: str | None
    at: datetime
    sent_at: datetime | None = None
    sends: int = 0
    heard: list[Heard] = field(default_factory=list)
    unheard: list[str] = field(default_factory=list)  # who listens to it and has not got it
    depth: int = 0


@dataclass(frozen=True)
class Letter:
    """What a service gave up. `id` counts within the service."""

    service: str
    id: int
    kind: str
    error: str
    resolution: str | None


@dataclass(frozen=True)
class Timeline:
    """`events`: causes before what they caused, `depth` levels below; empty when nobody knows this
    order.
    """

    job: str
    events: list[Said]
    letters: list[Letter]

    def to_json(self) -> dict[str, Any]:
        """As `surefoot timeline --json` prints it; times are RFC 3339."""
        return _plain(asdict(self))  # type: ignore[no-any-return]


def read_timeline(services: Sequence[Service], job: str) -> Timeline:
    """Ask every service what it knows of an order."""
    events: dict[str, Said] = {}
    heard: defaultdict[str, list[Heard]] = defaultdict(list)
    written: list[Letter] = []
    for service in services:
        mine = (service.name, job)
        with service.database.snapshot() as tx:
            o, i, w = outbox.c, inbox.c, letters.c
            for row in tx.execute(select(outbox).where(o.service == mine[0], o.job == mine[1])):
                events[row.event_id] = Said(
                    row.event_id,
                    row.kind,
                    row.causation,
                    service.name,
                    row.at,
                    row.sent_at,
                    row.sends,
                )
            for row in tx.execute(select(inbox).where(i.service == mine[0], i.job == mine[1])):
                heard[row.event_id].append(
                    Heard(service.name, row.at, row.state, row.attempts, row.handled_at, row.note)
                )
                events.setdefault(
                    row.event_id, Said(row.event_id, row.kind, row.causation, None, row.at)
                )
            for row in tx.execute(
                select(letters).where(w.service == mine[0], w.job == mine[1]).order_by(w.id)
            ):
                written.append(Letter(service.name, row.id, row.kind, row.error, row.resolution))
    for event in events.values():
        event.heard = sorted(heard[event.id], key=lambda copy: copy.at)
        here = {copy.service for copy in event.heard}
        event.unheard = [
            s.name for s in services if event.kind in s.listens_to and s.name not in here
        ]
    return Timeline(job, list(_in_order(events)), written)


def _in_order(events: dict[str, Said]) -> Iterator[Said]:
    """Depth first; an event whose cause nobody has is a root."""
    caused: defaultdict[str | None, list[Said]] = defaultdict(list)
    for event in sorted(events.values(), key=lambda said: said.at):
        caused[event.causation if event.causation in events else None].append(event)
    stack = [(event, 0) for event in reversed(caused[None])]
    while stack:
        event, event.depth = stack.pop()
        yield event
        stack += [(follower, event.depth + 1) for follower in reversed(caused[event.id])]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_plain(member) for member in value]
    return value.isoformat() if isinstance(value, datetime) else value
