"""The actor: a person, by name and key, or whatever goes on by itself, which is a plain text."""

from __future__ import annotations

from sqlalchemy import ColumnElement


class Actor(str):
    """A person, as history names them.

    `key_id`: of their API key; None at a shell. `tenant_id`: of that key. `acting`: False for what
    is done in their name later, by the clock: the act is on record since they asked for it.
    """

    key_id: str | None
    tenant_id: str | None
    acting: bool

    def __new__(
        cls,
        name: str,
        key_id: str | None = None,
        tenant_id: str | None = None,
        *,
        acting: bool = True,
    ) -> Actor:
        made = super().__new__(cls, name)
        made.key_id, made.tenant_id, made.acting = key_id, tenant_id, acting
        return made


def own(tenant: ColumnElement[str], actor: str | None) -> list[ColumnElement[bool]]:
    """The guard of a write that somebody asks for with a key: rows of the key's tenant, by this
    column.

    Nothing guards what goes on by itself, or is typed at a shell: both are of all tenants.
    """
    whose = actor.tenant_id if isinstance(actor, Actor) else None
    return [] if whose is None else [tenant == whose]


def key_of(actor: str | None) -> str | None:
    """The id of the actor's key; None where there is none."""
    return actor.key_id if isinstance(actor, Actor) else None
