"""Killing a child of this worker, and nobody else.

Pids are used again: between "this pid is our child" and "kill it" the child may end and another
process get its number. A pidfd names the process itself, so the check and the signal cannot meet
two different ones.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import structlog

from surefoot.workers.leftovers import CHILD_MARK

log = structlog.get_logger(__name__)


def kill_child(pid: int) -> bool:
    """SIGKILL to `pid` if it is a child of this process, and to every process under it.

    Returns whether it was sent.
    """
    if pid <= 1 or pid == os.getpid():
        return False
    try:
        return _kill_by_fd(pid) if sys.platform == "linux" else _kill_by_pid(pid)
    except OSError as error:  # gone already, or never ours
        log.debug("child.not_killed", pid=pid, error=repr(error))
        return False


def end_what_it_started(pid: int) -> list[str]:
    """SIGKILL to every process that a step of the child `pid` has started, wherever it is by now:
    it has the child's mark in its environment. Returns their names. For a child that is gone: one
    that lives ends what its steps leave by itself.
    """
    ended: list[str] = []
    for process in psutil.process_iter(["name"]):
        try:
            if process.pid not in (pid, os.getpid()) and process.environ().get(CHILD_MARK) == str(
                pid
            ):
                process.kill()
                ended.append(str(process.info["name"]))
        except (psutil.Error, OSError):  # another user's, or gone
            continue
    if ended:
        log.warning("processes.ended", child=pid, names=ended[:5], count=len(ended))
    return ended


def _kill_by_fd(pid: int) -> bool:
    fd = os.pidfd_open(pid)
    try:
        if not is_living_child(pid):
            return False
        below = _below(pid)
        signal.pidfd_send_signal(fd, signal.SIGKILL)
        _end(below)
        return True
    finally:
        os.close(fd)


def _below(pid: int) -> list[psutil.Process]:
    """Every process under a living child.

    It inherits what its steps detach (`leftovers.begin`), so nothing is elsewhere.
    """
    with suppress(psutil.Error):
        return list(psutil.Process(pid).children(recursive=True))
    return []


def _end(processes: list[psutil.Process]) -> None:
    """psutil remembers when each was started, and leaves another one of the same number alone."""
    for process in processes:
        with suppress(psutil.Error):
            process.kill()
    if processes:
        log.warning(
            "processes.ended", pids=[process.pid for process in processes[:5]], count=len(processes)
        )


def _kill_by_pid(pid: int) -> bool:
    try:
        child = psutil.Process(pid)  # remembers when it was started, and compares before it kills
        if child.ppid() != os.getpid():
            return False
        below = _below(pid)
        child.kill()
    except psutil.Error:
        return False
    _end(below)
    return True


def is_living_child(pid: int) -> bool:
    """Whether this is one of our children and has not ended (nor waits to be collected).

    Raises: OSError when it is gone.
    """
    stat = Path(f"/proc/{pid}/stat").read_text()
    state, parent = stat.rpartition(")")[2].split()[:2]  # the name in parentheses may hold anything
    return int(parent) == os.getpid() and state not in ("Z", "X")
