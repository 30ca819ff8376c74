"""Workers and their lanes."""

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
    definitions: list[str] = Field(description="Digests of the definitions whose code it has.")
    consuming: list[str] | None = Field(
        description="The queues it takes messages from. Null: not connected yet."
    )
    children: int | None = Field(
        description="How many child processes it has. Null: not reported yet."
    )
    live: bool
    started_at: datetime
    seen_at: datetime


class WorkerList(Listed[Worker]):
    lanes: dict[str, int] = Field(description="Live workers by lane.")
