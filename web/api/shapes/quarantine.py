"""Messages that nobody can run."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from surefoot.web.api.shapes.common import Cursor, Id, Path, Shape


class QuarantineLinks(Shape):
    self: Path


class Quarantined(Shape):
    """A message that nobody can run."""

    id: Id
    at: datetime
    reason: str
    queue: str
    size: int | None = Field(description="Bytes of its body, if known.")
    discarded_at: datetime | None
    discarded_by: str | None
    discarded_why: str | None
    links: QuarantineLinks


class QuarantineList(Shape):
    items: list[Quarantined]
    next: Cursor


class QuarantinedMessage(Quarantined):
    headers: dict[str, Any]
    body: str = Field(description="Its first 4,096 characters.")
