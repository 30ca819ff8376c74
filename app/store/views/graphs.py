"""The graph a job is pinned to."""

from __future__ import annotations

from sqlalchemy import Engine

from surefoot.app.saga.graph import Graph
from surefoot.app.store.session import reading
from surefoot.app.store.views.snapshot import load


def graph_view(db: Engine, job_id: str, tenant_id: str | None) -> Graph:
    """Raises: NotFound."""
    with reading(db) as connection:
        return load(connection, job_id, tenant_id).graph
