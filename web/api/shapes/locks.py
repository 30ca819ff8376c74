"""Who has what to himself, and who waits for it."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from surefoot.web.api.shapes.common import Cursor, Id, Listed, Shape


class LockJob(Shape):
    id: Id
    name: str
    saga: str
    state: str = Field(description="As stored: a job that only waits is `running`.")


class LockWaiter(Shape):
    job: LockJob | None = Field(description="Null when it is another tenant's.")
    since: datetime
    gives_up_at: datetime


class Lock(Shape):
    key: str = Field(description="The name of a business record, such as `order:A-17`.")
    tenant: str | None = Field(
        description="Whose record it is. Null for a key that all tenants share."
    )
    held: bool = Field(
        description="False for the moment between one job's end and the next one's first step."
    )
    held_by: LockJob | None = Field(
        description="Null when it is not held, or by another tenant's job."
    )
    since: datetime | None
    waiting: int = Field(description="How many wait for it.")
    queue: list[LockWaiter] = Field(
        description="The first fifty of them, in the order in which they will have it."
    )


class LockList(Listed[Lock]):
    next: Cursor
