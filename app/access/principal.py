"""The caller: a key's tenant and role."""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from enum import StrEnum

from surefoot.app.errors import NotAllowed
from surefoot.app.store.actors import Actor


class Role(StrEnum):
    """Each role may do what the ones before it may."""

    USER = "user"  # its tenant's jobs: submit, read, cancel, redrive
    OPERATOR = "operator"  # also decides about effects and sees the workers
    ADMIN = "admin"  # also keys
    PLATFORM = "platform"  # also what is not one tenant's: quarantine, workers, metrics, rounds


_ORDER = tuple(Role)


def role_held(role: str, platform: bool) -> Role:
    """The role of a key, from what its row says: a platform key is an admin's with a mark, which
    older code can read.
    """
    return Role.PLATFORM if platform else Role(role)


@dataclass(frozen=True)
class Principal:
    """The holder of a key."""

    key_id: str
    tenant_id: str
    role: Role
    name: str

    @property
    def actor(self) -> Actor:
        """How history names this principal: at most 128 characters, never the key, which it bears
        the id of.
        """
        return Actor(f"{self.role}:{self.name}"[:128], self.key_id, self.tenant_id)

    def may(self, role: Role) -> bool:
        return _ORDER.index(self.role) >= _ORDER.index(role)

    def need(self, role: Role) -> None:
        """Raises: NotAllowed when this principal's role is below `role`."""
        if not self.may(role):
            raise NotAllowed(f"This needs the role {role}; your key has the role {self.role}.")


def shell_actor() -> Actor:
    """How history names the person who types a command on this machine."""
    try:
        return Actor(f"cli:{getpass.getuser()}"[:128])
    except (OSError, KeyError):  # a container without a name for its user
        return Actor("cli:unknown")
