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
    id: str = Field(description="Empty for an act about many objects.")


class ActLinks(Shape):
    job: Path | None


class Act(Shape):
    """One act of a person. It is never changed afterwards."""

    id: Id
    at: datetime
    actor: str = Field(description="The actor, as in a job's history.")
    key_id: Id | None = Field(
        description="The id of their API key; null for a command on the server's machine."
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
