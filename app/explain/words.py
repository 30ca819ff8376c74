"""Small pieces of English: times, lists and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime

MOST_NAMED = 8  # in one list of a sentence; of more the number is told


def at(time: datetime, today: date) -> str:
    """`10:42:07 UTC`, with its date when that is not today."""
    time = time.astimezone(UTC)
    return f"{time:%H:%M:%S} UTC" if time.date() == today else f"{time:%Y-%m-%d %H:%M} UTC"


def listed(parts: Sequence[str], last: str = "and") -> str:
    """`a, b and c`."""
    return (
        parts[0]
        if len(parts) == 1
        else f"{', '.join(parts[:-1])} {last} {parts[-1]}"
        if parts
        else ""
    )


def counted(parts: Sequence[str], what: str) -> str:
    """`a, b and c`; of more than MOST_NAMED how many there are, as `12 steps undone`."""
    return listed(parts) if len(parts) <= MOST_NAMED else f"{len(parts)} steps {what}"


def first_of(parts: Sequence[str]) -> str:
    """The first MOST_NAMED, and how many more there are."""
    more = len(parts) - MOST_NAMED
    return listed(parts) if more <= 0 else f"{', '.join(parts[:MOST_NAMED])} and {more} more"


def sentence(*parts: str) -> str:
    """Parts joined by semicolons, as one sentence with its full stop, and its capital unless it
    begins with the name of a step.
    """
    text = "; ".join(part.strip().rstrip(".") for part in parts if part.strip())
    if "_" not in text.partition(" ")[0]:
        text = text[:1].upper() + text[1:]
    return f"{text}." if text else ""
