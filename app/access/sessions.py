"""Sessions: a browser that signed in with a key is known by a row of its own, and by nothing
else.

The hazard: a cookie that was copied. One that carries its own proof is good until its time is
up, whatever its owner does. So the cookie names a row, every request asks for that row, and the
row ends at a sign-out, by its owner from another browser, with its key, when it was not used for
long, and after a time in any case. Times are the store's.
"""

from __future__ import annotations

import ipaddress
import secrets
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, insert, select, update

from surefoot.app.access.hashing import hashed
from surefoot.app.access.principal import Principal, role_held
from surefoot.app.clock import ago, now
from surefoot.app.config import Settings
from surefoot.app.store.ids import is_id, new_id
from surefoot.app.store.session import asking, execute_single, transaction
from surefoot.app.store.tables import api_keys, sessions, tenants
from surefoot.app.store.views.names import stamp

TOKEN_BYTES = 32
SEEN_EVERY_S = 60.0  # how often it is written that a session is in use
AGENT_CHARACTERS = 120
LISTED_MOST = 200
NETWORK_BITS = {4: 24, 6: 48}  # of an address that is kept: enough to tell places apart, not people
s, k, t = sessions.c, api_keys.c, tenants.c


@dataclass(frozen=True)
class Limits:
    """`idle_s`: for how long it may be unused, seconds; `most_s`: how long it lasts in any case."""

    idle_s: float
    most_s: float

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        return cls(settings.session_idle_seconds, settings.session_seconds)


@dataclass(frozen=True)
class Session:
    """`noted`: whether its use was written down a moment ago."""

    id: str
    principal: Principal
    noted: bool


def begin(db: Engine, key_id: str, *, address: str | None, agent: str) -> str:
    """A new session of this key. Returns the text that its cookie holds, which is kept nowhere."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    seen = "".join(one for one in agent if one.isprintable())[:AGENT_CHARACTERS]
    row = {
        "id": new_id(),
        "hash": hashed(token),
        "key_id": key_id,
        "address": network(address),
        "agent": seen,
    }
    execute_single(db, lambda tx: tx.execute(insert(sessions).values(**row)))
    return token


def find(db: Engine, token: str, limits: Limits) -> Session | None:
    """Whose session this is, in one statement; None when it has ended in whatever way."""
    noted = (s.seen_at > ago(min(SEEN_EVERY_S, limits.idle_s / 4))).label("noted")
    query = select(s.id, s.key_id, k.tenant_id, k.role, k.platform, k.name, noted).join_from(
        sessions, api_keys, k.id == s.key_id
    )
    with asking(db) as connection:
        row = connection.execute(query.where(s.hash == hashed(token), *_open(limits))).one_or_none()
    if row is None:
        return None
    who = Principal(row.key_id, row.tenant_id, role_held(row.role, row.platform), row.name)
    return Session(row.id, who, bool(row.noted))


def note_use(db: Engine, session: Session, limits: Limits) -> None:
    """Somebody uses it. Written by one request of those that come together."""
    if not session.noted:
        lately = s.seen_at <= ago(min(SEEN_EVERY_S, limits.idle_s / 4))
        use = update(sessions).where(s.id == session.id, s.ended_at.is_(None), lately)
        execute_single(db, lambda tx: tx.execute(use.values(seen_at=now())))


def end_by_token(db: Engine, token: str, actor: str) -> None:
    """The sign-out of the browser that holds this; again is the same."""
    execute_single(db, lambda tx: _end(tx, actor, s.hash == hashed(token)))


def end(db: Engine, actor: str, *, key_id: str, session_id: str | None = None) -> int:
    """End one session of this key, or all of them. Returns how many had not ended."""
    if session_id is not None and not is_id(session_id):
        return 0
    one = [s.id == session_id] if session_id is not None else []
    return transaction(db, lambda tx: _end(tx, actor, s.key_id == key_id, *one))


def end_of_key(tx: Connection, key_id: str, actor: str) -> int:
    """The same within the caller's transaction, of a key that is revoked."""
    return _end(tx, actor, s.key_id == key_id)


def list_sessions(db: Engine, limits: Limits, key_id: str | None = None) -> list[dict[str, Any]]:
    """Sessions in use, the newest first, at most LISTED_MOST: of one key, or everybody's.

    Returns: id, key_id, key (its name), tenant (name), made_at, seen_at (RFC 3339),
    address, agent of each.
    """
    query = (
        select(
            s.id,
            s.key_id,
            k.name.label("key"),
            t.name.label("tenant"),
            s.made_at,
            s.seen_at,
            s.address,
            s.agent,
        )
        .join_from(sessions, api_keys, k.id == s.key_id)
        .join(tenants, t.id == k.tenant_id)
        .where(*_open(limits), *([s.key_id == key_id] if key_id is not None else []))
    )
    with asking(db) as connection:
        rows = connection.execute(
            query.order_by(s.made_at.desc(), s.id.desc()).limit(LISTED_MOST)
        ).mappings()
        return [
            {**row, "made_at": stamp(row["made_at"]), "seen_at": stamp(row["seen_at"])}
            for row in rows
        ]


def network(address: str | None) -> str:
    """The network that an address belongs to, as text; empty for what is not an address."""
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return ""
    return str(ipaddress.ip_network((found, NETWORK_BITS[found.version]), strict=False))


def _open(limits: Limits) -> tuple[ColumnElement[bool], ...]:
    in_time = (s.seen_at > ago(limits.idle_s), s.made_at > ago(limits.most_s))
    return (s.ended_at.is_(None), *in_time, k.revoked_at.is_(None))


def _end(tx: Connection, actor: str, *which: ColumnElement[bool]) -> int:
    still_open = update(sessions).where(s.ended_at.is_(None), *which)
    return tx.execute(still_open.values(ended_at=now(), ended_by=actor)).rowcount
