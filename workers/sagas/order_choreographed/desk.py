"""A service's desk: tables of its inbox, its outbox and its letters, in its own database.

An inbox row: `waiting` (arrived, or tried and to be tried again, from `due_at` on) -> `handled`, or
-> `failed` (a letter says why; a redrive makes it `waiting` again). While an attempt runs, `due_at`
is when another process may take over; `attempts` is its fence, for each take-over counts one more.
An outbox row without `sent_at` is to be sent.

Statements only, each called in the service's transaction. Those asked for ever are made once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    JSON,
    CheckConstraint,
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    Row,
    Select,
    String,
    Table,
    Text,
    func,
    select,
    text,
    update,
)

from surefoot.app.clock import UtcDateTime, after, now
from surefoot.workers.sagas.order.services.database import insert_or
from surefoot.workers.sagas.order_choreographed.events import Event, Message, id_of

MAX_ERROR_CHARS = 2000


def desk_tables(metadata: MetaData) -> None:
    """Put the tables of a desk into a service's metadata: they are made with its own tables."""
    Table(
        "inbox",
        metadata,
        Column(
            "service", String(16), primary_key=True
        ),  # services that share a database do not share an inbox
        Column("event_id", String(255), primary_key=True),
        Column("job", String(64), nullable=False),
        Column("kind", String(64), nullable=False),
        Column("causation", String(255)),
        Column(
            "said_at", String(64), nullable=False
        ),  # by the sender's clock: to be read, never to be compared
        Column("data", JSON, nullable=False),
        Column("at", UtcDateTime(), nullable=False),
        Column("state", String(8), nullable=False),
        Column("attempts", Integer, nullable=False),
        Column("allowance", Integer, nullable=False),
        Column("due_at", UtcDateTime(), nullable=False),
        Column("handled_at", UtcDateTime()),
        Column("note", Text),  # why it changed nothing, or the last error
        CheckConstraint("state in ('waiting', 'handled', 'failed')", name="inbox_state_known"),
        Index("inbox_of_job", "job"),
        Index(
            "inbox_due",
            "service",
            "due_at",
            sqlite_where=text("state = 'waiting'"),
            postgresql_where=text("state = 'waiting'"),
        ),
    )
    Table(
        "outbox",
        metadata,
        Column("event_id", String(255), primary_key=True),
        Column("service", String(16), nullable=False),
        Column("job", String(64), nullable=False),
        Column("kind", String(64), nullable=False),
        Column("causation", String(255)),
        Column("data", JSON, nullable=False),
        Column("at", UtcDateTime(), nullable=False),
        Column("sent_at", UtcDateTime()),
        Column("sends", Integer, nullable=False),
        Index("outbox_of_job", "job"),
        Index("outbox_caused_by", "causation"),
        Index(
            "outbox_unsent",
            "service",
            "at",
            sqlite_where=text("sent_at is null"),
            postgresql_where=text("sent_at is null"),
        ),
    )
    Table(
        "letters",
        metadata,
        Column("id", Integer, primary_key=True, autoincrement=True),
        Column("service", String(16), nullable=False),
        Column("event_id", String(255), nullable=False),
        Column("job", String(64)),  # null: nobody could read what it was about
        Column("kind", String(64), nullable=False),
        Column("error", Text, nullable=False),
        Column("attempts", Integer, nullable=False),
        Column("needs_person", Integer, nullable=False),
        Column("at", UtcDateTime(), nullable=False),
        Column("resolution", String(10)),
        Column("actor", String(128)),
        Column("why", Text),
        Column("resolved_at", UtcDateTime()),
        CheckConstraint("resolution in ('redriven', 'discarded')", name="resolution_known"),
        # An operation out of attempts has one letter, however many processes find out.
        Index(
            "letter_open",
            "service",
            "event_id",
            unique=True,
            sqlite_where=text("resolution is null"),
            postgresql_where=text("resolution is null"),
        ),
        Index("letter_of_job", "job"),
        sqlite_autoincrement=True,
    )


# Statements name the tables without a schema: the connection's search path decides, so one Table
# serves all services.
_any = MetaData()
desk_tables(_any)
inbox, outbox, letters = (_any.tables[name] for name in ("inbox", "outbox", "letters"))


@dataclass(frozen=True)
class Claimed:
    """One attempt at an event. `attempts`: its number and its fence; `worn_out`: that was the last
    one it had.
    """

    message: Message
    attempts: int
    allowance: int

    @property
    def worn_out(self) -> bool:
        return self.attempts >= self.allowance


# --- inbox ----------------------------------------------------------------------------------------
def arrive(
    tx: Connection, service: str, message: Message, allowance: int, hold_s: float
) -> Claimed | None:
    """An event has come: keep it, and claim its first attempt. None: it is known already."""
    row = {
        "service": service,
        "event_id": message.id,
        "job": message.job,
        "kind": message.kind,
        "causation": message.causation,
        "said_at": message.at,
        "data": message.data,
        "at": after(0),
        "state": "waiting",
        "attempts": 1,
        "allowance": allowance,
        "due_at": after(hold_s),
    }
    new = tx.execute(
        insert_or(tx, inbox).values(row).on_conflict_do_nothing().returning(inbox.c.event_id)
    ).first()
    return None if new is None else Claimed(message, 1, allowance)


def due(tx: Connection, service: str, rows: int) -> list[str]:
    """Events whose time has come, oldest first: those to be tried again, and those whose attempt
    has died.
    """
    return [row.event_id for row in tx.execute(_due(service, rows))]


@cache
def _due(service: str, rows: int) -> Select[str]:
    c = inbox.c
    waits = (c.service == service, c.state == "waiting", c.due_at <= now())
    return select(c.event_id).where(*waits).order_by(c.due_at).limit(rows)


def claim(tx: Connection, service: str, event_id: str, hold_s: float) -> Claimed | None:
    """Take over a due event. None: somebody else was faster, or it is done."""
    c = inbox.c
    mine = (
        (c.service == service)
        & (c.event_id == event_id)
        & (c.state == "waiting")
        & (c.due_at <= now())
    )
    row = tx.execute(
        update(inbox)
        .where(mine)
        .values(attempts=c.attempts + 1, due_at=after(hold_s))
        .returning(*c)
    ).first()
    return None if row is None else Claimed(_message(row, row.said_at), row.attempts, row.allowance)


def handled(tx: Connection, service: str, claimed: Claimed, note: str | None = None) -> bool:
    """waiting -> handled, by the attempt that holds it. False: another attempt has taken over; roll
    back.

    What it said is forgotten, for a repeat is known by its name; so no card stays where nobody
    needs it.
    """
    return _end(tx, service, claimed, state="handled", handled_at=after(0), note=note, data={})


def again(tx: Connection, service: str, claimed: Claimed, error: str, wait_s: float) -> bool:
    """It stays waiting, to be tried again in `wait_s`."""
    return _end(tx, service, claimed, due_at=after(wait_s), note=error[:MAX_ERROR_CHARS])


def failed(tx: Connection, service: str, claimed: Claimed, error: str) -> bool:
    """waiting -> failed: out of attempts."""
    return _end(tx, service, claimed, state="failed", note=error[:MAX_ERROR_CHARS])


def fresh_attempts(tx: Connection, service: str, event_id: str, attempts: int) -> bool:
    """failed -> waiting, due at once: a person sends it back."""
    c = inbox.c
    mine = (c.service == service) & (c.event_id == event_id) & (c.state == "failed")
    values = {"state": "waiting", "due_at": after(0), "allowance": c.attempts + attempts}
    return (
        tx.execute(update(inbox).where(mine).values(values).returning(c.event_id)).first()
        is not None
    )


def _end(tx: Connection, service: str, claimed: Claimed, **values: Any) -> bool:
    c = inbox.c
    mine = (
        (c.service == service)
        & (c.event_id == claimed.message.id)
        & (c.state == "waiting")
        & (c.attempts == claimed.attempts)
    )
    return (
        tx.execute(update(inbox).where(mine).values(values).returning(c.event_id)).first()
        is not None
    )


# --- outbox ---------------------------------------------------------------------------------------
def say(
    tx: Connection, service: str, job: str, events: Sequence[Event], causation: str | None
) -> None:
    """Events that have become true with this transaction. Saying one again changes nothing."""
    for event in events:
        row = {
            "event_id": id_of(job, event),
            "service": service,
            "job": job,
            "kind": type(event).__name__,
            "causation": causation,
            "data": event.model_dump(mode="json"),
            "at": after(0),
            "sends": 0,
        }
        tx.execute(insert_or(tx, outbox).values(row).on_conflict_do_nothing())


def unsent(tx: Connection, service: str, rows: int) -> list[Message]:
    """What is to be sent, oldest first."""
    return [_message(row, row.at.isoformat()) for row in tx.execute(_unsent(service, rows))]


@cache
def _unsent(service: str, rows: int) -> Select[Any]:
    c = outbox.c
    waits = (c.service == service, c.sent_at.is_(None))
    return select(outbox).where(*waits).order_by(c.at).limit(rows)


def said(tx: Connection, service: str, message: Message) -> bool:
    """Whether this service has said exactly this. What was forgotten (`forget`) is known by its
    name alone.
    """
    c = outbox.c
    row = tx.execute(select(outbox).where(c.event_id == message.id, c.service == service)).first()
    if row is None or (row.job, row.kind) != (message.job, message.kind):
        return False
    return row.data in ({}, message.data)


def mark_sent(tx: Connection, event_ids: Sequence[str]) -> None:
    """The broker has them."""
    c = outbox.c
    tx.execute(
        update(outbox).where(c.event_id.in_(event_ids)).values(sent_at=after(0), sends=c.sends + 1)
    )


def say_again(tx: Connection, event_id: str) -> None:
    """An event is sent once more."""
    c = outbox.c
    tx.execute(
        update(outbox).where(c.event_id == event_id, c.sent_at.is_not(None)).values(sent_at=None)
    )


def forget(tx: Connection, event_id: str) -> None:
    """An event that nobody needs to hear any more is not sent again, and what it said is not kept."""
    c = outbox.c
    tx.execute(
        update(outbox)
        .where(c.event_id == event_id)
        .values(data={}, sent_at=func.coalesce(c.sent_at, after(0)))
    )


def answer_again(tx: Connection, service: str, causation: str) -> None:
    """Whatever this event had caused is sent once more: the sender of a repeat has not heard the
    answer.
    """
    c = outbox.c
    tx.execute(
        update(outbox)
        .where(c.causation == causation, c.service == service, c.sent_at.is_not(None))
        .values(sent_at=None)
    )


# --- letters --------------------------------------------------------------------------------------
def write_letter(
    tx: Connection,
    service: str,
    event_id: str,
    job: str | None,
    kind: str,
    error: str,
    attempts: int,
    *,
    needs_person: bool,
) -> None:
    """Keep for people what could not be done. One letter is open for an event at a time."""
    row = {
        "service": service,
        "event_id": event_id,
        "job": job,
        "kind": kind,
        "error": error[:MAX_ERROR_CHARS],
        "attempts": attempts,
        "needs_person": int(needs_person),
        "at": after(0),
    }
    tx.execute(insert_or(tx, letters).values(row).on_conflict_do_nothing())


def open_letters(tx: Connection, service: str) -> list[Row[Any]]:
    """Those that nobody has answered, oldest first."""
    c = letters.c
    return list(
        tx.execute(
            select(letters).where(c.service == service, c.resolution.is_(None)).order_by(c.id)
        )
    )


def resolve_letter(
    tx: Connection, service: str, letter_id: int, resolution: str, actor: str, why: str
) -> Row[Any] | None:
    """Answer an open letter. None: there is none of this number, or somebody has answered it."""
    c = letters.c
    mine = (c.service == service) & (c.id == letter_id) & c.resolution.is_(None)
    values = {"resolution": resolution, "actor": actor, "why": why, "resolved_at": after(0)}
    return tx.execute(update(letters).where(mine).values(values).returning(*c)).first()


def unread_letters(tx: Connection, service: str, most: int) -> int:
    """Open letters about messages that nobody could read or believe, counted up to `most`."""
    c = letters.c
    few = (
        select(c.id)
        .where(c.service == service, c.resolution.is_(None), c.job.is_(None))
        .limit(most)
    )
    return int(tx.execute(select(func.count()).select_from(few.subquery())).scalar_one())


# --- for people -----------------------------------------------------------------------------------
def seconds_since(tx: Connection, moment: datetime) -> float:
    """Seconds from a stored moment until now, by the database's clock."""
    value = tx.execute(select(now())).scalar_one()
    return float((value - moment).total_seconds())


def _message(row: Row[Any], at: str) -> Message:
    return Message(row.event_id, row.kind, row.job, row.causation, at, row.data)
