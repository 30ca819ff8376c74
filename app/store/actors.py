"""Who acts: a person, by name and key, or whatever goes on by itself, which is a plain text."""

from __future__ import annotations


class Actor(str):
    """A person, as history names them.

    `key_id`: of their API key; None at a shell. `tenant_id`: of that key. `acting`: False for what is done in their name
    later, by the clock: the act is on record since they asked for it.
    """

    key_id: str | None
    tenant_id: str | None
    acting: bool

    def __new__(
        cls, name: str, key_id: str | None = None, tenant_id: str | None = None, *, acting: bool = True
    ) -> Actor:
        made = super().__new__(cls, name)
        made.key_id, made.tenant_id, made.acting = key_id, tenant_id, acting
        return made


def key_of(actor: str | None) -> str | None:
    """The id of the key of whoever acts; None where there is none."""
    return actor.key_id if isinstance(actor, Actor) else None
