"""What each part is told of the secrets: its own, so that the smallest part cannot sign a session
or empty a store.

Who starts a part passes it the whole environment less the secrets that are not its own. A part
that is not listed is told none.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from surefoot.app.environment import FLOWER_LOGIN

PART = "SUREFOOT_PART"  # a part was told everything: its commands leave the run file to people
STORE = ("SUREFOOT_DATABASE_URL", "PGPASSWORD")
BROKER = ("SUREFOOT_BROKER_URL",)
BANK = ("SUREFOOT_BANK_DATABASE_URL",)
EVENTS = ("SUREFOOT_EVENTS_SECRET", "SUREFOOT_EVENTS_SECRET_ALSO")
OF_SERVICES = (
    "SUREFOOT_ORDER_DATABASE_URL",
    "SUREFOOT_PAYMENT_DATABASE_URL",
    "SUREFOOT_INVENTORY_DATABASE_URL",
    "SUREFOOT_MAIL_DATABASE_URL",
    "SUREFOOT_MAIL",  # the address of a mail server may have a password
)
TOLD: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "web": frozenset({"SUREFOOT_SECRET", *STORE, *BROKER}),
        "relay": frozenset({*STORE, *BROKER}),
        "worker": frozenset({*STORE, *BROKER, *OF_SERVICES}),
        "services": frozenset({*STORE, *BROKER, *OF_SERVICES, *EVENTS}),
        "bank": frozenset({*STORE, *BANK}),
        "flower": frozenset({*BROKER, "SUREFOOT_FLOWER_BASIC_AUTH", FLOWER_LOGIN}),
    }
)
SECRETS = frozenset({"SUREFOOT_API_KEY", "DATABASE_URL", "BROKER_URL"}).union(*TOLD.values())


def kind_of(part: str) -> str:
    """worker-1 -> worker."""
    return part.rstrip("-0123456789")


def told(environ: Mapping[str, str], part: str) -> dict[str, str]:
    """What a part of this name is told of an environment that has everything."""
    kind = kind_of(part)
    withheld = SECRETS - TOLD.get(kind, frozenset())
    return {**{name: value for name, value in environ.items() if name not in withheld}, PART: kind}
