"""What reconciliation found."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from surefoot.web.api.shapes.common import Cursor, Id, Path, Shape


class FindingLinks(Shape):
    job: Path | None


class Finding(Shape):
    """What reconciliation found."""

    id: Id
    at: datetime
    job: Id | None = Field(
        description="Null if the job does not exist, or a service could not be asked."
    )
    name: str | None
    saga: str
    step: str
    item: str
    service: str = Field(description="Empty for a late job.")
    key: str = Field(description="Of the effect; of a late job its id.")
    finding: Literal[
        "late",
        "missing_in_service",
        "missing_in_engine",
        "different",
        "orphan",
        "service_unreachable",
    ]
    action: str = Field(
        description="What was done: `reported` (a person should look), `redriven`, `republished`, "
        "`compensated`, `attention`, `adopted`, `undo` (decided), `undone`."
    )
    detail: dict[str, Any] | None
    actor: str
    closed_at: datetime | None
    closed_by: str | None
    closed_why: str | None
    links: FindingLinks


class DecidedFinding(Finding):
    """A finding, and what became of the request."""

    message: str


class FindingList(Shape):
    items: list[Finding]
    next: Cursor


class Reconciling(Shape):
    message: str
    findings: Path
