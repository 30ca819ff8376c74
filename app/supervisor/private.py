"""What each part is told of the secrets: its own, so that the smallest part cannot sign a session
or empty a store.

A part gets the whole environment less the secrets that are not its own. A part that is not listed,
here or by a saga package, is told none.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from surefoot.app.environment import FLOWER_LOGIN
from surefoot.app.supervisor import additions

PART = "SUREFOOT_PART"  # a part was told everything: its commands leave the run file to people
STORE = ("SUREFOOT_DATABASE_URL", "PGPASSWORD")
BROKER = ("SUREFOOT_BROKER_URL",)
TOLD: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "web": frozenset({"SUREFOOT_SECRET", *STORE, *BROKER}),
        "relay": frozenset({*STORE, *BROKER}),
        "worker": frozenset({*STORE, *BROKER}),
        "flower": frozenset({*BROKER, "SUREFOOT_FLOWER_BASIC_AUTH", FLOWER_LOGIN}),
    }
)
OF_NO_PART = frozenset({"SUREFOOT_API_KEY", "DATABASE_URL", "BROKER_URL"})


@lru_cache
def secrets() -> frozenset[str]:
    """Every variable with a secret: ours, and those of saga packages."""
    return OF_NO_PART.union(additions.all_secrets(), *TOLD.values())


def kind_of(part: str) -> str:
    """worker-1 -> worker."""
    return part.rstrip("-0123456789")


def told(environ: Mapping[str, str], part: str) -> dict[str, str]:
    """What a part of this name is told of an environment that has everything."""
    kind = kind_of(part)
    withheld = secrets() - TOLD.get(kind, frozenset()) - additions.secrets_of(kind)
    return {**{name: value for name, value in environ.items() if name not in withheld}, PART: kind}
