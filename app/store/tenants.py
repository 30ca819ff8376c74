"""Reads of tenants, for the engine."""

from __future__ import annotations

from sqlalchemy import Connection, Integer, func, literal_column, select

from surefoot.app.saga.naming import DEFAULT_TENANT
from surefoot.app.store.tables import tenants

_SEVERAL = select(func.count()).select_from(
    select(tenants.c.id).limit(literal_column("2", Integer)).subquery()
)


def several_tenants(connection: Connection) -> bool:
    """Whether there is more than one."""
    return connection.execute(_SEVERAL).scalar_one() > 1


def default_tenant_in(connection: Connection) -> str | None:
    return connection.execute(
        select(tenants.c.id).where(tenants.c.name == DEFAULT_TENANT)
    ).scalar_one_or_none()


def tenant_named(connection: Connection, tenant_id: str | None) -> str | None:
    """The name of a tenant. None: there is none of this id."""
    return (
        connection.execute(
            select(tenants.c.name).where(tenants.c.id == tenant_id)
        ).scalar_one_or_none()
        if tenant_id
        else None
    )
