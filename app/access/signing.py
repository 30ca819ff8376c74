"""Texts that leave us and come back: cursors of lists, the page's session.

Each purpose has its own salt, so that a cursor is no session. A signature says who wrote it, not that it is secret.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from itsdangerous import BadData, URLSafeSerializer, URLSafeTimedSerializer

from app.config import SECRET_CHARACTERS, Settings
from app.errors import RequestError, SettingsError
from app.store.ids import is_id

SESSION_SECONDS = 12 * 3600
LONGEST = 512
TEST_SECRET = "only for tests, where nothing is worth forging"

Position = tuple[datetime, str]  # where a list goes on: (created_at, id) of the last row shown


class Signer:
    """Signs and checks with one secret."""

    def __init__(self, secret: str) -> None:
        self._cursors = URLSafeSerializer(secret, salt="surefoot.cursor")
        self._sessions = URLSafeTimedSerializer(secret, salt="surefoot.session")

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
        """Where this list goes on. `of` names the list and its filters: the cursor is good for nothing else."""
        created_at, row_id = position
        return str(self._cursors.dumps([_brief(of), created_at.astimezone(UTC).isoformat(), row_id]))

    def position(self, of: str, cursor: str) -> Position:
        """Raises: RequestError for a cursor that we did not make, or made for something else than `of`."""
        try:
            made_for, created_at, row_id = self._cursors.loads(cursor[: LONGEST + 1])
            position = datetime.fromisoformat(created_at), str(row_id)
        except (BadData, ValueError, TypeError) as error:
            raise RequestError("The cursor is not one of ours: take it from `next` of the page before.") from error
        if made_for != _brief(of):
            raise RequestError("The cursor belongs to another list or to other filters: begin at the first page.")
        return position

    def session(self, key_id: str) -> str:
        return str(self._sessions.dumps(key_id))

    def key_id(self, session: str) -> str | None:
        """The id of the key that signed in; None for a session that is forged or older than twelve hours."""
        try:
            found = self._sessions.loads(session[: LONGEST + 1], max_age=SESSION_SECONDS)
        except BadData:
            return None
        return found if isinstance(found, str) and is_id(found) else None


def _brief(of: str) -> str:
    """Filters are long, and an address is not: 64 bits tell lists apart, and the signature keeps everybody from choosing them."""
    return hashlib.sha256(of.encode("utf-8", "surrogatepass")).hexdigest()[:16]
