"""What people did: one row for each act, written in the transaction of the change it tells of.

The hazard: a change without a record of its actor and reason, because it left no line,
because what it wrote was wiped by the next one, or because a line was altered afterwards. So an
act is a row of a table that is only added to: triggers refuse the rest. A person is an `Actor`;
what goes on by itself says a plain text and leaves no act. Details hold ids, numbers and
filters, never an input or a result; a secret of the job in a reason is masked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, insert, or_, select, text

from surefoot.app.secrecy import scrub
from surefoot.app.store.actors import Actor
from surefoot.app.store.hidden import secrets_of
from surefoot.app.store.host import host_of
from surefoot.app.store.rows.records import ActRow
from surefoot.app.store.tables import acts

a = acts.c
WHOLE = text("part_of IS NULL")  # as the indexes say it
REASON_CHARACTERS = 1000
DETAILS = 20  # of an act, at most so many, each of so many characters
DETAIL_CHARACTERS = 255


@dataclass(frozen=True)
class Act:
    """`word`: what was done, as `cancel`; `kind` and `id`: to what. `tenant_id`: of that object,
    where it has one.
    """

    word: str
    kind: str
    id: str
    tenant_id: str | None = None
    job_id: str | None = None
    reason: str | None = None
    details: Mapping[str, Any] | None = None


def note(tx: Connection, actor: str, act: Act) -> str | None:
    """Write what a person does. Returns the id of the act; None when it is not a person who acts."""
    if not isinstance(actor, Actor) or not actor.acting:
        return None
    row = _row(tx, actor, act) | {"reason": _reason(tx, act), "details": _bounded(act.details)}
    tx.execute(insert(acts).values(**row))
    return str(row["id"])


def note_parts(tx: Connection, actor: str, whole: str | None, parts: Iterable[Act]) -> None:
    """What one act did to each of many: found by the job of each, and left out of other lists."""
    if isinstance(actor, Actor) and whole is not None:
        rows = [
            _row(tx, actor, part) | {"part_of": whole, "details": _bounded(part.details)}
            for part in parts
        ]
        if rows:
            tx.execute(insert(acts), rows)


# --- read ----------------------------------------------------------------------------------------
# ------------------
@dataclass(frozen=True)
class Asked:
    """Which acts are meant; what is None is not asked. `since` and `until`: of their time, the
    first included.
    """

    tenant_id: str | None = None
    job_id: str | None = None
    actor: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def guards(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = []
        if self.tenant_id is not None:
            found.append(a.tenant_id == self.tenant_id)
        if self.job_id is not None:
            found.append(a.job_id == self.job_id)
        if self.actor is not None:
            found.append(a.actor == self.actor)
        if self.since is not None:
            found.append(a.at >= self.since)
        if self.until is not None:
            found.append(a.at < self.until)
        return found


def page(
    connection: Connection, asked: Asked, after: tuple[datetime, str] | None, limit: int
) -> list[ActRow]:
    """Acts, newest first, older than `after`; of a job also those that were part of a request about
    many.
    """
    query: Select[Any] = select(acts).where(*asked.guards())
    if asked.job_id is None:
        query = query.where(WHOLE)
    if after is not None:
        at, act_id = after
        query = query.where(a.at <= at, or_(a.at < at, and_(a.at == at, a.id < act_id)))
    return list(connection.execute(query.order_by(a.at.desc(), a.id.desc()).limit(limit)))


# --- how -----------------------------------------------------------------------------------------
# ------------------
def _row(tx: Connection, actor: Actor, act: Act) -> dict[str, Any]:
    return {
        "id": host_of(tx).new_id(),
        "tenant_id": act.tenant_id or actor.tenant_id,
        "key_id": actor.key_id,
        "actor": str(actor)[:128],
        "act": act.word,
        "object_kind": act.kind,
        "object_id": act.id,
        "job_id": act.job_id,
    }


def _reason(tx: Connection, act: Act) -> str | None:
    if not act.reason:
        return None
    hidden = secrets_of(tx, act.job_id) if act.job_id is not None else ()
    return scrub(act.reason, hidden)[:REASON_CHARACTERS]


def _bounded(details: Mapping[str, Any] | None) -> dict[str, Any] | None:
    said = {name: value for name, value in (details or {}).items() if value is not None}
    return {
        name: value[:DETAIL_CHARACTERS] if isinstance(value, str) else value
        for name, value in list(said.items())[:DETAILS]
    } or None
