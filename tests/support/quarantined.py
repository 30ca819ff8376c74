"""What lies in quarantine."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, select

from surefoot.app.store.session import reading
from surefoot.app.store.tables import quarantine


def quarantined(db: Engine) -> list[dict[str, Any]]:
    """Every message, newest first."""
    with reading(db) as connection:
        return [
            dict(row._mapping)
            for row in connection.execute(select(quarantine).order_by(quarantine.c.id.desc()))
        ]
