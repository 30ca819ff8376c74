"""What people did."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from surefoot.web.api.shapes.common import Cursor, Id, Path, Shape


class ActObject(Shape):
    kind: str = Field(
        description="`job`, `letter`, `letters`, `message`, `finding`, `key`, `saga` or `reconciliation`."
    )
    id: str = Field(description="Empty where many are meant, or there is one only.")


class ActLinks(Shape):
    job: Path | None


class Act(Shape):
    """One act of a person. It is never changed afterwards."""

    id: Id
    at: datetime
    actor: str = Field(description="As history names them.")
    key_id: Id | None = Field(
        description="Of their API key; null for a command on the installation's machine."
    )
    act: str
    object: ActObject
    job: Id | None
    part_of: Id | None = Field(
        description="The act of the request, where this is one letter among many."
    )
    reason: str | None
    details: dict[str, Any] | None
    links: ActLinks


class ActList(Shape):
    items: list[Act]
    next: Cursor
