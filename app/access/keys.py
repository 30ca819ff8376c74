"""API keys: 32 random bytes, shown once, kept as their SHA-256."""

from __future__ import annotations

import hmac
import secrets
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Select, select, update

from surefoot.app.access import sessions
from surefoot.app.access.hashing import hashed
from surefoot.app.access.principal import Principal, Role, role_held
from surefoot.app.access.tenants import DEFAULT, NAME_CHARACTERS, ensure_in, insert_unless_there
from surefoot.app.clock import now
from surefoot.app.errors import NotFound, RequestError, SettingsError
from surefoot.app.store import acts
from surefoot.app.store.actors import Actor
from surefoot.app.store.acts import Act
from surefoot.app.store.ids import is_id, new_id
from surefoot.app.store.session import reading, transaction
from surefoot.app.store.tables import api_keys, tenants

MARK = "sf_"  # so that secret scanners and people know a key when they see one
KEY_BYTES = 32
PREFIX_CHARACTERS = 8  # of a key, shown in lists; the remaining 38 still have 228 random bits
GIVEN_CHARACTERS = 32  # an operator's own key has at least this many
LONGEST = 512
CONFIGURATION = "setting:SUREFOOT_API_KEY"  # who made the first admin's key


def create(
    db: Engine, tenant: str = DEFAULT, role: str = Role.USER, name: str = "", *, actor: str = ""
) -> tuple[str, str]:
    """Make a key for the tenant of this name (made when there is none).

    Returns: (id of the row, text of the key). The text is nowhere kept: this is the only time it is
    seen.
    Raises: RequestError for an unknown role or a name that is too long.
    """
    text = MARK + secrets.token_urlsafe(KEY_BYTES)
    return transaction(
        db, lambda tx: _insert(tx, text, tenant, role, name or "unnamed", actor)
    ), text


def ensure_admin(db: Engine, key: str, name: str = "first") -> str:
    """Take the operator's own key as it is, for the platform, of the default tenant; again and
    again is the same.

    Returns: the id of its row. Raises: SettingsError when it is too short or was revoked.
    """
    if len(key) < GIVEN_CHARACTERS:
        raise SettingsError(f"SUREFOOT_API_KEY: must have {GIVEN_CHARACTERS} characters or more")

    def work(tx: Connection) -> str:
        query = select(api_keys.c.id, api_keys.c.revoked_at).where(api_keys.c.hash == hashed(key))
        row = tx.execute(query).one_or_none()
        if row is None:
            _insert(tx, key, DEFAULT, Role.PLATFORM, name, Actor(CONFIGURATION))
            row = tx.execute(query).one()
        if row.revoked_at is not None:
            raise SettingsError("SUREFOOT_API_KEY: this key was revoked; choose another one")
        return str(row.id)

    return transaction(db, work)


def find(db: Engine, key: str) -> Principal | None:
    """Whose key this is; None when it is nobody's or was revoked."""
    if not key or len(key) > LONGEST:
        return None
    wanted = hashed(key)
    with reading(db) as connection:
        row = connection.execute(_principals().where(api_keys.c.hash == wanted)).one_or_none()
    if row is None or not hmac.compare_digest(row.hash, wanted):
        return None
    return _principal(row)


def list_keys(db: Engine, tenant: str | None = None) -> list[dict[str, Any]]:
    """Every key, oldest first: id, tenant (name), role, name, prefix, created_at, revoked_at.

    Never the key.
    """
    query = (
        select(
            api_keys.c.id,
            tenants.c.name.label("tenant"),
            api_keys.c.role,
            api_keys.c.name,
            api_keys.c.prefix,
        )
        .add_columns(api_keys.c.created_at, api_keys.c.revoked_at, api_keys.c.platform)
        .join(tenants, tenants.c.id == api_keys.c.tenant_id)
        .order_by(api_keys.c.id)
    )
    if tenant is not None:
        query = query.where(tenants.c.name == tenant)
    with reading(db) as connection:
        rows = connection.execute(query).mappings()
        return [_with_role_held(dict(row)) for row in rows]


def revoke(db: Engine, wanted: str, actor: str = "") -> datetime:
    """Revoke a key by its id or its prefix, if that prefix is one key's only, and end its sessions;
    again is the same.

    Returns: when it was revoked. Raises: NotFound for no such key; RequestError when several begin
    so.
    """

    def work(tx: Connection) -> datetime:
        key_id = _one(tx, wanted)
        still_good = update(api_keys).where(
            api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None)
        )
        if tx.execute(still_good.values(revoked_at=now())).rowcount == 1:
            acts.note(tx, actor, Act("revoke", "key", key_id, _tenant_of(tx, key_id)))
        sessions.end_of_key(tx, key_id, actor)
        revoked_at: datetime = tx.execute(
            select(api_keys.c.revoked_at).where(api_keys.c.id == key_id)
        ).scalar_one()
        return revoked_at

    return transaction(db, work)


def sign_out(db: Engine, wanted: str, actor: str) -> int:
    """End every session of a key, which stays good.

    Returns how many there were. Raises: as `revoke`.
    """

    def work(tx: Connection) -> int:
        key_id = _one(tx, wanted)
        count = sessions.end_of_key(tx, key_id, actor)
        acts.note(
            tx,
            actor,
            Act("sign-out", "key", key_id, _tenant_of(tx, key_id), details={"sessions": count}),
        )
        return count

    return transaction(db, work)


def find_id(db: Engine, wanted: str) -> str:
    """The id of the key that is meant by its id or its prefix. Raises: as `revoke`."""
    with reading(db) as connection:
        return _one(connection, wanted)


def _one(connection: Connection, wanted: str) -> str:
    column = api_keys.c.id if is_id(wanted) else api_keys.c.prefix
    rows = connection.execute(select(api_keys.c.id).where(column == wanted)).scalars().all()
    if not rows:
        raise NotFound("There is no such key.")
    if len(rows) > 1:
        raise RequestError("Several keys begin so: name the id of the one you mean.")
    return str(rows[0])


def _tenant_of(connection: Connection, key_id: str) -> str:
    return str(
        connection.execute(select(api_keys.c.tenant_id).where(api_keys.c.id == key_id)).scalar_one()
    )


def _insert(tx: Connection, key: str, tenant: str, role: str, name: str, actor: str) -> str:
    if role not in tuple(Role):
        raise RequestError(f"A role is one of {', '.join(Role)}, not {role!r}.")
    if len(name) > NAME_CHARACTERS or not name.isprintable():
        raise RequestError(f"A key's name has at most {NAME_CHARACTERS} visible characters.")
    platform = role == Role.PLATFORM
    row: dict[str, Any] = {"id": new_id(), "tenant_id": ensure_in(tx, tenant), "name": name}
    row |= {"role": str(Role.ADMIN if platform else role), "platform": platform}
    row |= {"prefix": key[:PREFIX_CHARACTERS], "hash": hashed(key)}
    insert_unless_there(tx, api_keys, row)
    said = {"role": str(role), "name": name}
    acts.note(tx, actor, Act("create", "key", str(row["id"]), str(row["tenant_id"]), details=said))
    return str(row["id"])


def _principals() -> Select[Any]:
    k = api_keys.c
    query = select(k.id, k.tenant_id, k.role, k.platform, k.name, k.hash)
    return query.where(k.revoked_at.is_(None))


def _principal(row: Any) -> Principal:
    role = role_held(row.role, row.platform)
    return Principal(key_id=row.id, tenant_id=row.tenant_id, role=role, name=row.name)


def _with_role_held(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"role": str(role_held(row["role"], row.pop("platform")))}
