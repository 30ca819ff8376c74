"""Lists by pages: where the next one begins, and how a page is answered."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from flask import Response, request

from surefoot.app.access.signing import Position
from surefoot.app.errors import RequestError
from surefoot.app.store.dead_letters import DeadLetterFilter
from surefoot.web.api.problems import Problem
from surefoot.web.api.responses import answer
from surefoot.web.services import services

CURSOR_CHARS = 512


class Pages:
    """A list as it was asked for. Its cursors are good for the same list with the same filters, and
    for nothing else.
    """

    def __init__(self, name: str, **filters: str | bool | None) -> None:
        """`filters` as they are obeyed, so that what is left out is the same as its default; None
        is not asked.
        """
        self._of = json.dumps(
            [name, {key: value for key, value in filters.items() if value is not None}],
            sort_keys=True,
        )

    def after(self) -> Position | None:
        """Behind what the page that was asked for begins; None is the first page. Raises: Problem
        400 for any other cursor.
        """
        cursor = request.args.get("cursor")
        if cursor is None:
            return None
        try:
            if not 1 <= len(cursor) <= CURSOR_CHARS:
                raise RequestError(
                    f"A cursor has 1 to {CURSOR_CHARS} characters: take it from `next` of the page before."
                )
            return services().signer.position(self._of, cursor)
        except RequestError as error:
            raise Problem(
                "invalid-cursor",
                error.message,
                errors=[{"parameter": "cursor", "detail": error.message}],
            ) from error

    def after_id(self) -> str | None:
        """The same, of a list that goes by id alone."""
        after = self.after()
        return after[1] if after else None

    def cursor(self, edge: Position | None) -> str | None:
        """Of the page after this one, whose last row is `edge`; None at the end."""
        return services().signer.cursor(self._of, edge) if edge else None

    def answer(self, items: list[dict[str, Any]], edge: Position | None) -> Response:
        """One page. `edge`: the last of it, where there are more; the next page is this address
        with a cursor.
        """
        following = self.cursor(edge)
        here = urlencode({**request.args.to_dict(), "cursor": following})
        headers = {"Link": f'<{request.path}?{here}>; rel="next"'} if following else {}
        return answer({"items": items, "next": following}, headers=headers)


def pages_of_letters(meant: DeadLetterFilter) -> Pages:
    """Dead letters, for programs and on their page."""
    state = meant.state or "any"
    return Pages(
        "letters",
        state=state,
        saga=meant.saga,
        step=meant.step,
        why=meant.why,
        needs_person=meant.needs_person,
        job=meant.job_id,
    )
