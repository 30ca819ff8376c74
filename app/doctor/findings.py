"""What doctor says: a level, a sentence, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True)
class Finding:
    """`about`: a word or two that name the question, the same for ever; `fix` is empty where all is
    well.
    """

    about: str
    level: Level
    said: str
    fix: str = ""


def ok(about: str, said: str) -> Finding:
    return Finding(about, Level.OK, said)


def warn(about: str, said: str, fix: str) -> Finding:
    return Finding(about, Level.WARN, said, fix)


def fail(about: str, said: str, fix: str) -> Finding:
    return Finding(about, Level.FAIL, said, fix)


def some(names: Sequence[object], most: int = 5) -> str:
    """The first of them, and how many more there are."""
    shown = ", ".join(str(name) for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
