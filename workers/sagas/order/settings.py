"""Where the services of the order saga live: read from the environment, with defaults that need no
setting at all.

Without settings each service has a SQLite file of its own under `SUREFOOT_HOME`. When
`DATABASE_URL` names a PostgreSQL and a service has no URL of its own, it gets a schema of its own
there.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import field_validator

from surefoot import NothingSent
from surefoot.app import environment
from surefoot.app.addresses import checked_http, checked_store
from surefoot.app.config import OurSettings, Seconds, SecondsOrNone, built

BANK_URL_FILE = "bank.url"  # under the home: where the bank that took a free port says so


class BankUnknown(NothingSent):
    """No bank is known: set SUREFOOT_BANK_URL, or start one with `surefoot bank`."""


class OrderSettings(OurSettings):
    """Settings of the order saga: `SUREFOOT_` and the name of a field in capitals. Times in seconds."""

    home: Path = Path("var")
    database_url: str = ""
    order_database_url: str = ""
    inventory_database_url: str = ""
    payment_database_url: str = ""
    mail_database_url: str = ""
    bank_database_url: str = ""
    bank_url: str = ""
    bank_timeout_seconds: Seconds = 5.0  # longer than a slow charge, shorter than anyone's patience
    bank_slow_seconds: SecondsOrNone = 3.0
    bank_hang_seconds: SecondsOrNone = 20.0
    # how long goods that others have reserved may still come back before an order is told that
    # there are none, and how often it asks
    reserve_wait_seconds: SecondsOrNone = 30.0
    reserve_recheck_seconds: Seconds = 1.0
    mail: str = ""
    mail_from: str = "orders@surefoot.example"

    @field_validator(
        "database_url",
        *(
            f"{service}_database_url"
            for service in ("order", "inventory", "payment", "mail", "bank")
        ),
    )
    @classmethod
    def _known_store(cls, url: str) -> str:
        return checked_store(url)

    @field_validator("mail")
    @classmethod
    def _folder_or_smtp(cls, target: str) -> str:
        if "://" in target and not target.startswith(("smtp://", "smtps://")):
            raise ValueError("must be a folder, or begin with smtp:// or smtps://")
        return target

    @field_validator("bank_url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        if url and "@" in urlsplit(checked_http(url)).netloc:
            raise ValueError("must not hold a user or a password: it is shown in errors")
        return checked_http(url)

    def database(self, service: str) -> tuple[str, str]:
        """Where `service` (order, inventory, payment, mail or bank) keeps its tables.

        Returns: an SQLAlchemy URL, and the PostgreSQL schema ("" for the database's own default).
        """
        own = str(getattr(self, f"{service}_database_url"))
        if own:
            return own, ""
        if self.database_url.startswith(("postgresql", "postgres:")):
            return self.database_url, f"{service}_service"
        return f"sqlite:///{self.home.absolute() / service}.sqlite", ""

    def bank(self) -> str:
        """The bank's base URL, without a slash at its end.

        Raises: BankUnknown when nobody has said where it is.
        """
        url = self.bank_url or _read(self.home / BANK_URL_FILE)
        if not url:
            raise BankUnknown
        return url.rstrip("/")

    def mail_target(self) -> str:
        """An smtp:// or smtps:// URL, or the path of the folder that takes the mails."""
        return self.mail or str(self.home.absolute() / "mail")


def order_settings() -> OrderSettings:
    """The settings as the environment has them now; built anew only when it changed.

    Raises: SettingsError.
    """
    return _build(environment.ours(OrderSettings.model_fields), os.getcwd())


@lru_cache(maxsize=4)
def _build(told: tuple[str, ...], folder: str) -> OrderSettings:
    return built(OrderSettings)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
