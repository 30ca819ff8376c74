"""Who runs it."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from surefoot.web.api.shapes.common import Listed, Shape


class Worker(Shape):
    id: str
    host: str
    pid: int
    concurrency: int
    lanes: list[str]
    definitions: list[str] = Field(description="Digests of the definitions it has the code of.")
    consuming: list[str] | None = Field(
        description="The queues it takes messages from. Null: it has not been connected yet."
    )
    children: int | None = Field(description="How many children it has. Null: not told yet.")
    live: bool
    started_at: datetime
    seen_at: datetime


class WorkerList(Listed[Worker]):
    lanes: dict[str, int] = Field(description="Live workers by lane.")
