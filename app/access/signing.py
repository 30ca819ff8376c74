"""Texts that leave us and come back: cursors of lists, the page's session.

Each purpose has its own salt, so that a cursor cannot be used as a session. A signature says who
wrote it, not that it is secret.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from itsdangerous import BadData, URLSafeSerializer

from surefoot.app.config import SECRET_CHARACTERS, Settings
from surefoot.app.errors import RequestError, SettingsError

LONGEST = 512
TEST_SECRET = "only for tests, where nothing is worth forging"

Position = tuple[datetime, str]  # where a list goes on: (created_at, id) of the last row shown


class Signer:
    """Signs and checks with one secret."""

    def __init__(self, secret: str) -> None:
        self._cursors = URLSafeSerializer(secret, salt="surefoot.cursor")
        self._sessions = URLSafeSerializer(secret, salt="surefoot.session.token")

    @classmethod
    def from_settings(cls, settings: Settings) -> Signer:
        """Raises: SettingsError when SUREFOOT_SECRET is missing outside of tests."""
        if settings.env == "test" and not settings.secret:
            return cls(TEST_SECRET)
        if not settings.secret:
            raise SettingsError(
                f"SUREFOOT_SECRET: is not set; give all web processes the same {SECRET_CHARACTERS} random characters or more"
            )
        return cls(settings.secret)

    def cursor(self, of: str, position: Position) -> str:
        """Where this list goes on.

        `of` names the list and its filters: the cursor is good for nothing else.
        """
        created_at, row_id = position
        return str(
            self._cursors.dumps([_brief(of), created_at.astimezone(UTC).isoformat(), row_id])
        )

    def position(self, of: str, cursor: str) -> Position:
        """Raises: RequestError for a cursor that we did not make, or made for something else than
        `of`.
        """
        try:
            made_for, created_at, row_id = self._cursors.loads(cursor[: LONGEST + 1])
            position = datetime.fromisoformat(created_at), str(row_id)
        except (BadData, ValueError, TypeError) as error:
            raise RequestError(
                "The cursor was not issued here: take it from `next` of the page before."
            ) from error
        if made_for != _brief(of):
            raise RequestError(
                "The cursor belongs to another list or to other filters: begin at the first page."
            )
        return position

    def session(self, token: str) -> str:
        """What a browser's cookie holds: which session, signed, so that what was not made here
        never reaches the store.
        """
        return str(self._sessions.dumps(token))

    def token(self, cookie: str) -> str | None:
        """Which session a cookie names; None for one that is forged."""
        try:
            found = self._sessions.loads(cookie[: LONGEST + 1])
        except BadData:
            return None
        return found if isinstance(found, str) else None


def _brief(of: str) -> str:
    """Filters are long, and an address is not: 64 bits tell lists apart, and the signature keeps
    everybody from choosing them.
    """
    return hashlib.sha256(of.encode("utf-8", "surrogatepass")).hexdigest()[:16]
