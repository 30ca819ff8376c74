"""Writes of messages that no worker can run. What people see of them is in `views.quarantine`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, insert, select

from surefoot.app.store.tables import jobs, quarantine


def add_message(tx: Connection, row: Mapping[str, Any], job_id: str | None) -> None:
    """Keep a message. `job_id`: the job that it names, whose tenant may see it if the job is here."""
    tenant = None
    if job_id is not None:
        tenant = select(jobs.c.tenant_id).where(jobs.c.id == job_id).scalar_subquery()
    tx.execute(insert(quarantine).values(**row, tenant_id=tenant))
