"""Which jobs hold locks, and which wait for them."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from surefoot.web.api.shapes.common import Cursor, Id, Listed, Shape


class LockJob(Shape):
    id: Id
    name: str
    saga: str
    state: str = Field(description="The stored state: a job that only waits is `running`.")


class LockWaiter(Shape):
    job: LockJob | None = Field(description="Null if it belongs to another tenant.")
    since: datetime
    gives_up_at: datetime


class Lock(Shape):
    key: str = Field(description="The name of a business record, such as `order:A-17`.")
    tenant: str | None = Field(
        description="The record's tenant. Null for a key that all tenants share."
    )
    held: bool = Field(description="False between one job's end and the first step of the next.")
    held_by: LockJob | None = Field(
        description="Null if it is free, or held by another tenant's job."
    )
    since: datetime | None
    waiting: int = Field(description="How many jobs wait for it.")
    queue: list[LockWaiter] = Field(
        description="The first fifty of them, in the order of the queue."
    )


class LockList(Listed[Lock]):
    next: Cursor
