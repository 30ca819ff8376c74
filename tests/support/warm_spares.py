"""Processes that a supervisor has in store: each becomes a part of it when one is to start.

A supervisor asks its parts how they ended, so they must be its own children; and what is forked
later would share the connections that it has opened meanwhile. So some are forked before it has
opened anything. When they are used up, or a part is not a module of Python, parts start as ever.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

from tests.support import warm_part
from tests.support.warm_part import Asked


class Part:
    """What `subprocess.Popen` is to the supervisor: a child of this process."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self._reap(os.WNOHANG)
        return self.returncode

    def wait(self) -> int:
        if self.returncode is None:
            self._reap(0)
        assert self.returncode is not None
        return self.returncode

    def terminate(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)

    def _reap(self, how: int) -> None:
        pid, status = os.waitpid(self.pid, how)
        if pid:
            self.returncode = os.waitstatus_to_exitcode(status)


def lay_in(count: int) -> Asked | None:
    """Fork so many. Returns None in the supervisor, whose parts they become; what a spare is to be, in that spare."""
    kept: list[tuple[int, socket.socket]] = []
    parent = os.getpid()
    for _ in range(count):
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            for _, open_here in [*kept, (0, ours)]:
                open_here.close()  # or the end of the supervisor would not be the end of this
            return _wait(its, parent)
        its.close()
        kept.append((pid, ours))
    _give_out(kept)
    return None


def _wait(its: socket.socket, parent: int) -> Asked:
    try:
        with its:
            asked = warm_part.receive(its)
    except EOFError:
        os._exit(0)
    return asked.put_on(parent)


def _give_out(kept: list[tuple[int, socket.socket]]) -> None:
    """From now on parts of this supervisor are made from these."""
    from surefoot.app.supervisor import child

    def start(words: list[str], **told: Any) -> Any:
        # python -I -S leash.py PARENT SIGNAL USER, and the command
        number, command = int(words[5]), words[7:]
        is_module = command[:2] == [sys.executable, "-m"]
        if not (kept and is_module and warm_part.is_fit(command[2:], told["env"])):
            return subprocess.Popen(words, **told)
        pid, spare = kept.pop(0)
        with spare, open(os.devnull, "rb") as nothing:
            files = [nothing.fileno(), told["stdout"].fileno(), told["stderr"].fileno()]
            warm_part.asked(command[2:], told["env"], files, session=True, leash=number).send(spare)
        return Part(pid)

    fake = SimpleNamespace(Popen=start, DEVNULL=subprocess.DEVNULL)
    child.subprocess = fake  # type: ignore[assignment]
