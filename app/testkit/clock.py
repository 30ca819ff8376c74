"""Virtual time.

The engine's only clock is the database's, so it is enough to tell SQLite what `now` is.
"""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta

from surefoot.app.clock import SQLITE_FORMAT

START = datetime(2030, 1, 1, tzinfo=UTC)


class VirtualClock:
    """Stands still until it is moved. `now_s`: seconds since START."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._texts: dict[float | str, str] = {}

    def advance(self, seconds: float) -> None:
        self.set(self.now_s + seconds)

    def set(self, now_s: float) -> None:
        self.now_s = now_s
        self._texts.clear()

    def install(self, connection: sqlite3.Connection) -> None:
        """Take the place of SQLite's strftime: app/clock.py uses no other function of time."""
        connection.create_function("strftime", -1, self._strftime)

    def text(self, after_s: float = 0.0) -> str:
        """A time as the store keeps it."""
        if after_s not in self._texts:
            then = START + timedelta(seconds=self.now_s + after_s)
            self._texts[after_s] = then.strftime("%Y-%m-%d %H:%M:%S.%f")
        return self._texts[after_s]

    def _strftime(self, form: str, moment: str, modifier: str | None = "0 seconds") -> str | None:
        if modifier is None:  # as SQLite has it: no time comes of NULL
            return None
        if modifier not in self._texts:
            number, _, unit = modifier.partition(" ")
            if form != SQLITE_FORMAT or moment != "now" or unit != "seconds":
                raise ValueError(f"no virtual strftime({form!r}, {moment!r}, {modifier!r})")
            self._texts[modifier] = self.text(round(float(number), 3))
        return self._texts[modifier]
