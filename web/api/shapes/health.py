"""For load balancers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from surefoot.web.api.shapes.common import Shape


class Alive(Shape):
    status: Literal["alive"]


class Ready(Shape):
    status: Literal["ready"]


class Health(Shape):
    status: Literal["ok", "degraded"]
    store: Literal["ok"]
    broker: Literal["ok", "refusing", "unreachable"]
    relay: Literal["ok", "absent"]
    workers: int
    idle_queues: int = Field(
        description="Queues of announced lanes from which no live worker takes messages."
    )
    oldest_ready_seconds: int


class Down(Shape):
    status: Literal["down"]
    store: Literal["unreachable"]
