"""A second process that kills the parts when the supervisor is gone.

It knows nothing but a pipe from the supervisor, on which come the process groups that run (`+123`)
and those that have ended (`-123`). The pipe ends when the supervisor does, however it does, and
then every group still named is killed. The leash does the same sooner, but on Linux only, and only
to the leader of a group, not to the children it made.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterable


class Watchdog:
    """The supervisor's end of the pipe. One that died is replaced when it is next spoken to."""

    def __init__(self) -> None:
        self._groups: set[int] = set()
        self._process: subprocess.Popen[bytes] | None = None
        self.ensure()

    def add(self, pgid: int) -> None:
        """This group is to die with us."""
        self._groups.add(pgid)
        self._tell(f"+{pgid}\n")

    def remove(self, pgid: int) -> None:
        """This group has ended."""
        self._groups.discard(pgid)
        self._tell(f"-{pgid}\n")

    def ensure(self) -> None:
        """Start it when it does not run."""
        if self._process is None or self._process.poll() is not None:
            self.close()
            quiet = subprocess.DEVNULL
            # not leashed: it is the one that has to outlive us; and in a session of its own, out of
            # Ctrl-C's reach
            words = [sys.executable, "-I", "-S", __file__]
            self._process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, start_new_session=True
            )
            self._tell("".join(f"+{pgid}\n" for pgid in self._groups))

    def close(self) -> None:
        """End it: what it still knows of is killed."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
            self._process.wait()
            self._process = None

    def _tell(self, words: str) -> None:
        if self._process is None or self._process.stdin is None:
            return
        with contextlib.suppress(
            BrokenPipeError
        ):  # it died: `ensure` starts another, which is told of all groups
            self._process.stdin.write(words.encode())
            self._process.stdin.flush()


def watch(lines: Iterable[str]) -> None:
    """Follow the pipe to its end, then kill what still runs."""
    groups: set[int] = set()
    for line in lines:
        pgid = int(line[1:])
        if line.startswith("+"):
            groups.add(pgid)
        else:
            groups.discard(pgid)
    for pgid in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pgid, signal.SIGKILL)


if __name__ == "__main__":
    watch(sys.stdin)
