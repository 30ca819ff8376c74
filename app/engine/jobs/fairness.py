"""Turns: each tenant may have so many messages in a lane's queue, and the rest waits in the store.

The hazard: a queue gives the oldest first. One tenant asks for two hundred jobs, and the one job
that another tenant asks for after them waits for all of them, in every lane.

The answer: at most SUREFOOT_TENANT_WINDOW messages of a tenant wait in a lane's queue. What is
ready beyond them is not published, as if the broker were away: it is backlog, which the relay
publishes tenant by tenant as the windows empty, each tenant's oldest first. So a newcomer waits
behind one window of each other tenant.

What is bounded is what web, workers and relay publish when it becomes ready. What a message carries
on (its chain, the body of its chord) leaves with it: there is no more of that than of what was let
in. With one tenant there are no turns and no cost.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import zip_longest

from sqlalchemy import Connection, Engine

from surefoot.app.config import Settings
from surefoot.app.engine.jobs.dispatch import Publishes
from surefoot.app.errors import StoreUnavailable
from surefoot.app.rules.planner import Plan, heads, without
from surefoot.app.store import message_reads, tenants
from surefoot.app.store.message_reads import Turn
from surefoot.app.store.rows.operations import MessageRow
from surefoot.app.store.session import reading

SEVERAL_FOR_S = 2.0  # how long "there is one tenant" is believed; that there are several stays true
GROUPS = 50  # backlogs that are looked at in one go; the next go takes the next ones


@dataclass
class InTurn:
    """A publisher of one process that lets a tenant have its window of a lane, and no more."""

    inner: Publishes
    db: Engine
    settings: Settings
    _several: bool = False
    _asked_at: float = float("-inf")

    def publish(self, plan: Plan) -> bool:
        return self.inner.publish(plan)

    def admitted(self, plan: Plan) -> Plan:
        """What of a plan may leave now. The rest stays as it is: ready, and not sent. Never raises
        for trouble of the store.
        """
        ids = [message.operation_id for message in heads(plan)]
        if not ids:
            return plan
        try:
            with reading(self.db, name="fairness.admitted") as connection:
                if not self._there_are_several(connection):
                    return plan
                return without(plan, self._held(connection, ids))
        except StoreUnavailable:
            return plan  # in the queue it waits no longer than before there were turns

    def _held(self, connection: Connection, ids: Sequence[str]) -> set[str]:
        rooms: dict[Turn, int] = {}
        held = set()
        for row in message_reads.turns_of(connection, ids):
            turn = Turn(row.lane, row.kind, row.tenant_id)
            if turn not in rooms:
                rooms[turn] = self._room(connection, turn, row.ready_at)
            rooms[turn] -= 1
            if rooms[turn] < 0:
                held.add(str(row.id))
        return held

    def _room(self, connection: Connection, turn: Turn, ready_at: datetime) -> int:
        """None, while there are older ones that wait for room: what has just become ready does not
        overtake them.
        """
        older_s = self.settings.unsent_seconds
        behind = message_reads.is_behind(connection, turn, ready_at, older_s)
        return 0 if behind else room(connection, self.settings, turn)

    def _there_are_several(self, connection: Connection) -> bool:
        if not self._several and time.monotonic() - self._asked_at > SEVERAL_FOR_S:
            self._several, self._asked_at = tenants.several_tenants(connection), time.monotonic()
        return self._several


@dataclass
class Turns:
    """The relay's part: what of the backlog leaves next. `held_back`: there is more of it than
    windows had room for.
    """

    settings: Settings
    held_back: bool = False
    _after: Turn | None = field(default=None, repr=False)

    def next_rows(self, connection: Connection) -> list[MessageRow]:
        """Ready operations whose message has not left, to be published now, the tenants in turn."""
        older_s, most = self.settings.unsent_seconds, self.settings.sweep_rows
        self.held_back = False
        if not tenants.several_tenants(connection):
            return message_reads.unsent(connection, older_s, most)
        groups = message_reads.backlogs(connection, self._after, older_s, GROUPS)
        self._after = groups[-1] if len(groups) == GROUPS else None
        self.held_back = self._after is not None
        found = []
        for turn in groups:
            free = room(connection, self.settings, turn)
            rows = message_reads.unsent_of(connection, turn, older_s, free + 1) if free > 0 else []
            self.held_back |= free <= 0 or len(rows) > free
            found.append(rows[: max(0, free)])
        return _in_turn(found)[:most]


def room(connection: Connection, settings: Settings, turn: Turn) -> int:
    """How many messages of this turn's tenant may join the lane's queue."""
    return settings.tenant_window - message_reads.waiting_of(
        connection, turn, settings.tenant_window
    )


def _in_turn(groups: Iterable[Sequence[MessageRow]]) -> list[MessageRow]:
    """The first of each group, then the second of each, and so on."""
    return [row for some in zip_longest(*groups) for row in some if row is not None]
