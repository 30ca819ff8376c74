"""Counters that processes keep in files: a write into shared memory, no system call, and still
there after a SIGKILL.

One file for each process, named by its pid, one 64-bit number for each name. Only its owner writes
it.
"""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path

NAMES = (
    "commits",
    "done",
)  # write transactions committed; jobs that ended, where no store knows them
FOLDER = "SUREFOOT_BENCH_TALLY"  # the environment variable that says where
_NUMBER = struct.Struct("<q")
_BYTES = _NUMBER.size * len(NAMES)


def _mapped(path: Path, access: int) -> mmap.mmap:
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if os.fstat(fd).st_size < _BYTES:
            os.ftruncate(fd, _BYTES)
        return mmap.mmap(fd, _BYTES, access=access)
    finally:
        os.close(fd)


class Tally:
    """The counters of this process. To be opened after the fork, not before."""

    def __init__(self, folder: Path) -> None:
        self._memory = _mapped(folder / str(os.getpid()), mmap.ACCESS_WRITE)

    def add(self, name: str) -> None:
        """One more of `name`."""
        at = NAMES.index(name) * _NUMBER.size
        _NUMBER.pack_into(self._memory, at, _NUMBER.unpack_from(self._memory, at)[0] + 1)


class Tallies:
    """The counters of all processes, to read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, mmap.mmap] = {}

    def total(self, name: str) -> int:
        """The sum over all processes, ended ones included."""
        for entry in os.scandir(self._folder):
            if entry.name not in self._known:
                self._known[entry.name] = _mapped(Path(entry.path), mmap.ACCESS_READ)
        at = NAMES.index(name) * _NUMBER.size
        return sum(_NUMBER.unpack_from(memory, at)[0] for memory in self._known.values())
