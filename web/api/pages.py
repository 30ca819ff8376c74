"""Where the next page of a list begins."""

from __future__ import annotations

from app.access.signing import Position
from app.errors import RequestError
from web.api.problems import Problem
from web.door import door


def position(cursor: str) -> Position:
    """Raises: Problem 422 for a cursor that is not one of ours."""
    try:
        return door().signer.position(cursor)
    except RequestError as error:
        raise Problem("invalid-input", error.message, errors=[{"parameter": "cursor", "detail": "is not one of ours"}]) from error
