"""Files that another process writes: not there yet, half there, or just being replaced, they are asked again, not failed for."""

from __future__ import annotations

from pathlib import Path

from tests.support.waiting import wait_until

START_S = 60.0


def text_of(path: Path) -> str:
    """What the file says so far; empty while it does not exist."""
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return ""


def lines_of(path: Path) -> list[str]:
    """Its whole lines: the last one may still be half written."""
    return text_of(path).rpartition("\n")[0].splitlines()


def changed_at(path: Path) -> int:
    """When it was last written (ns), 0 while it does not exist."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def said_in(path: Path, what: str) -> str:
    """The first whole line of a file that a process writes as soon as it is there. Raises: AssertionError after START_S."""
    return wait_until(lambda: lines_of(path), START_S, what=what)[0].strip()
