"""Lists by pages: where the next one begins, and how a page is answered."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from flask import Response, request

from app.access.signing import Position
from app.errors import RequestError
from web.api import requests
from web.api.answers import answer
from web.api.problems import Problem
from web.door import door

CURSOR_CHARS = 512


def asked_after() -> Position | None:
    """Behind what the page that was asked for begins; None is the first page. Raises: Problem 422 for a cursor that is not one of ours."""
    cursor = requests.text_parameter("cursor", CURSOR_CHARS)
    if not cursor:
        return None
    try:
        return door().signer.position(cursor)
    except RequestError as error:
        raise Problem("invalid-input", error.message, errors=[{"parameter": "cursor", "detail": "is not one of ours"}]) from error


def asked_after_id() -> str | None:
    """The same, of a list that goes by id alone."""
    after = asked_after()
    return after[1] if after else None


def page(items: list[dict[str, Any]], edge: Position | None) -> Response:
    """One page. `edge`: the last of it, where there are more; the next page is this address with a cursor."""
    following = door().signer.cursor(edge) if edge else None
    here = urlencode({**request.args.to_dict(), "cursor": following})
    headers = {"Link": f'<{request.path}?{here}>; rel="next"'} if following else {}
    return answer({"items": items, "next": following}, headers=headers)
