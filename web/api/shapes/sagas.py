"""Definitions that can be run."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from surefoot.web.api.shapes.common import Fidelity, Listed, Path, Shape


class SagaLinks(Shape):
    self: Path


class SagaInList(Shape):
    name: str
    version: int
    digest: str
    sla_seconds: float | None
    steps: list[str]
    links: SagaLinks


class SagaStep(Shape):
    name: str
    lane: str
    after: list[str]
    pivot: bool
    irreversible: bool
    attempts: int
    timeout_seconds: float
    queue_timeout_seconds: float | None = Field(
        description="How long it waits for a worker before it is given up. Null: it waits, and operators are told."
    )
    heartbeat_timeout_seconds: float | None = Field(
        description="How long an attempt may go without a heartbeat."
    )
    note: str


class SagaGraph(Shape):
    steps: list[SagaStep]
    edges: list[tuple[str, str]]


class HowUndone(Shape):
    step: str
    undo: str | None
    fidelity: Fidelity | Literal["irreversible"] | None
    note: str
    lane: str | None
    why: str | None = Field(description="If there is no undo: why not.")


class LockPolicy(Shape):
    on_locked: Literal["wait", "fail"]
    wait_seconds: float


class Saga(SagaInList):
    """A saga's current version."""

    input: dict[str, Any] = Field(description="JSON Schema (2020-12) of a job's input.")
    graph: SagaGraph
    compensations: list[HowUndone]
    locks: LockPolicy | None = Field(
        description="What its jobs do about business records that another job has locked."
    )
    on_sla: Literal["ask", "redrive", "compensate"] = Field(
        description="What happens to a job that takes longer than `sla_seconds`."
    )


class SagaList(Listed[SagaInList]):
    pass
