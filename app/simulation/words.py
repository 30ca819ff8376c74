"""The words that a schedule is written in."""

from __future__ import annotations

from typing import NamedTuple

KEYS = 3  # idempotency keys a client uses: so many jobs at most
WORDS = ("retry", "mark_done", "waive", "mark_absent")
LETTER_WORDS = ("send_back", "lay_down")
FINDING_WORDS = ("adopt", "decide", "undo", "decide", "close")


class Action(NamedTuple):
    """One action.

    `which`, `who`: counted round; `word`: see the verb; `points` 0: all the way; `dies`: at the
    last of them.
    """

    verb: str
    which: int = 0
    who: int = 0
    word: str = ""
    points: int = 0
    dies: bool = False
    seconds: float = 0.0

    def __str__(self) -> str:
        told = [self.verb]
        told += [
            f"{name}={value!r}"
            for name, value in zip(self._fields[1:], self[1:], strict=True)
            if value
        ]
        return " ".join(told)

    @property
    def budget(self) -> int | None:
        return self.points or None
