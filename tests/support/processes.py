"""Of processes: which still live, what several write into one file, and as whom a server runs that refuses to be root."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import psutil


def append_line(path: Path, line: str) -> None:
    """Add one line, written whole, by however many processes."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(fd, (line + "\n").encode())
    finally:
        os.close(fd)


def lives(pid: int) -> bool:
    """Whether the process runs. A zombie has ended: where nobody collects orphans (in a container) it stays in the list."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def unprivileged(*names: str) -> tuple[int, int] | None:
    """(uid, gid) of the first of these users that there is, else of `nobody`; None when we are no root and need not become another."""
    if os.geteuid() != 0:
        return None
    for name in (*names, "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    return 65534, 65534
