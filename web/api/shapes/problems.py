"""What every route may answer instead."""

from __future__ import annotations

from pydantic import BaseModel, Field

from surefoot.web.api.shapes.common import Path, Shape


class Fault(Shape):
    """One fault of a request; `pointer` (into the body) or `parameter` (of the address) says where."""

    pointer: str | None = Field(default=None, description="JSON Pointer into the body.")
    parameter: str | None = Field(default=None, description="Name of a query parameter.")
    detail: str
    pattern: str | None = Field(
        default=None,
        description="The regular expression that the value must match, if that is the error.",
    )


class Problem(BaseModel):
    """Problem details (RFC 9457)."""

    type: Path
    title: str
    status: int = Field(ge=400, le=599)
    detail: str
    instance: Path
    trace_id: str = Field(description="The request's id in the server's log.")
    errors: list[Fault] | None = None
    job: Path | None = Field(
        default=None,
        description="The job that exists already: of the same key, or the resubmission.",
    )
