"""What a step leaves behind in its process: noticed when its attempt ends, put back or ended, and
told.

Hazard: a pool's child runs the steps of many jobs, one after the other. A step that changes the
folder, leaks descriptors, takes a signal, forks, or leaves processes behind harms those that come
after it, and what it started goes on when its attempt is over.
Answer: a child remembers how it began. After each attempt it is held against that: what can be put
back is, processes that were started end, and the child is retired (`surefoot.workers.pool`): it
takes no further work, and another child begins anew. Some descriptors are kept aside, so that an
outcome can be recorded when a step has used up all others.

Threads cannot be ended from outside; those that stay are told in the log, and many of them retire
the child. So does a run of failures: what they have in common may be this process, in a way that
none of the questions here asks about.
"""

from __future__ import annotations

import ctypes
import errno
import locale
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psutil
import structlog

from surefoot.app.config import settings
from surefoot.app.participant import ActionUndone
from surefoot.app.saga.outcomes import Failed, Rejected

log = structlog.get_logger(__name__)
SPARE = 16  # descriptors kept aside: a store's file and its journal, a log, a socket
OUT_OF = {errno.EMFILE: "files", errno.ENFILE: "files", errno.ENOMEM: "memory"}
CAUSES_MOST = 10  # exceptions behind an exception that are looked at
ENDS_S = 2.0  # how long processes that were killed are waited for
CHILD_MARK = "SUREFOOT_STEP_OF"  # in the environment of what a step starts: the pid of its child
PR_SET_CHILD_SUBREAPER = 36
ANSWERS = (Rejected, Failed, ActionUndone)  # of the business: another child would hear the same
SIGNALS = tuple(
    number
    for name in (
        "HUP",
        "INT",
        "QUIT",
        "TERM",
        "USR1",
        "USR2",
        "ALRM",
        "CHLD",
        "PIPE",
        "CONT",
        "VTALRM",
        "PROF",
    )
    if (number := getattr(signal, f"SIG{name}", None)) is not None
)


@dataclass
class Start:
    """How a child was when it began. `lowest`: the number that its next descriptor had."""

    pid: int = field(default_factory=os.getpid)
    folder: str = field(default_factory=os.getcwd)
    umask: int = field(default_factory=lambda: _umask())
    handlers: dict[int, Any] = field(
        default_factory=lambda: {number: signal.getsignal(number) for number in SIGNALS}
    )
    streams: tuple[Any, ...] = field(default_factory=lambda: (sys.stdin, sys.stdout, sys.stderr))
    standard: tuple[Any, ...] = field(default_factory=lambda: _standard())
    world: tuple[Any, ...] = field(default_factory=lambda: _world())
    threads: set[int | None] = field(
        default_factory=lambda: {thread.ident for thread in threading.enumerate()}
    )
    alive: int = field(default_factory=threading.active_count)
    lowest: int = field(default_factory=lambda: _lowest() or 0)
    spare: list[int] = field(
        default_factory=lambda: [os.open(os.devnull, os.O_RDONLY) for _ in range(SPARE)]
    )


@dataclass
class Child:
    """This process, if it is a pool's child.

    `retired`: why it takes no further work; empty while it does.

    `failures`: attempts in a row that ended by an error which is not an answer of the business.
    """

    is_one: bool = False
    start: Start | None = None
    retired: str = ""
    failures: int = 0


here = Child()


def begin() -> None:
    """`worker_process_init`: from now on this process is a pool's child, and inherits what its
    steps' processes leave behind.
    """
    here.is_one, here.start, here.retired, here.failures = True, None, "", 0
    os.environ[CHILD_MARK] = str(os.getpid())
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def fit() -> bool:
    """Whether this process may go on to further work."""
    return not here.retired


def before() -> None:
    """An attempt begins."""
    if here.is_one and here.start is None:
        here.start = Start()


def after(error: BaseException | None = None) -> None:
    """An attempt has ended, by `error` if that is one.

    In a process that a step has forked this does not come back.
    """
    if here.start is None:
        return
    if os.getpid() != here.start.pid:
        os._exit(os.EX_SOFTWARE)  # a copy of the child: what it would record is not its to record
    here.failures = here.failures + 1 if error is not None and not isinstance(error, ANSWERS) else 0
    found = list(_changed(here.start, error))
    if found and not here.retired:
        here.retired = ", ".join(found)
        log.warning("child.retired", why=here.retired)


def _changed(start: Start, error: BaseException | None) -> Iterator[str]:
    if (lack := out_of(error)) is not None:
        yield f"out of {lack}"
    lowest = _lowest()
    if lowest is None:
        _let_go(start)
        yield "no descriptor is left"
    elif lowest - start.lowest > settings().leaked_descriptors:
        yield f"more than {settings().leaked_descriptors} descriptors are left open"
    if _folder() != start.folder:
        with suppress(OSError):
            os.chdir(start.folder)
        yield "the working directory is another"
    if os.umask(start.umask) != start.umask:
        yield "the umask is another"
    for number, handler in start.handlers.items():
        if signal.getsignal(number) is not handler:
            with suppress(ValueError, OSError, TypeError):
                signal.signal(number, handler)
            yield f"{signal.Signals(number).name} is handled by another"
    if (sys.stdin, sys.stdout, sys.stderr) != start.streams or _standard() != start.standard:
        sys.stdin, sys.stdout, sys.stderr = start.streams
        yield "the standard streams are others"
    if _world() != start.world:
        yield "time zone or locale are others"
    if ended := _end_processes():
        yield f"{len(ended)} processes were left: {', '.join(ended[:5])}"
    if here.failures >= settings().child_failures:
        yield f"{here.failures} attempts in a row failed"
    _tell_threads(start)
    if (more := threading.active_count() - start.alive) > settings().leaked_threads:
        yield f"{more} threads are left"


def out_of(error: BaseException | None) -> str | None:
    """What a process has run out of, as an exception or one behind it says."""
    for _ in range(CAUSES_MOST):
        if error is None:
            return None
        if isinstance(error, MemoryError):
            return "memory"
        if isinstance(error, OSError) and error.errno in OUT_OF:
            return OUT_OF[error.errno]
        error = error.__cause__ or error.__context__
    return None


# --- processes and threads ------------------------------------------------------------------------
def _end_processes() -> list[str]:
    """End everything that was started and is still there. Returns the names."""
    names: list[str] = []
    until = time.monotonic() + ENDS_S
    while _has_children() and time.monotonic() < until:
        for process in _descendants(psutil.Process()):
            with suppress(psutil.Error):
                if process.status() != psutil.STATUS_ZOMBIE:
                    names.append(process.name())
                    process.kill()
        _collect()
    return names


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    with suppress(psutil.Error):
        return list(process.children(recursive=True))
    return []


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _collect() -> None:
    """Take leave of those that have ended."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    if _has_children():
        time.sleep(0.005)


def _tell_threads(start: Start) -> None:
    if threading.active_count() <= len(start.threads):
        return
    new = [thread for thread in threading.enumerate() if thread.ident not in start.threads]
    start.threads |= {thread.ident for thread in new}  # told once
    if new:
        log.warning("threads.left", names=[thread.name for thread in new[:5]], count=len(new))


# --- how a process is -----------------------------------------------------------------------------
def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was taken away
        return None


def _umask() -> int:
    now = os.umask(0o077)
    os.umask(now)
    return now


def _lowest() -> int | None:
    """The number that the next descriptor would have; None when there is none left."""
    try:
        descriptor = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    os.close(descriptor)
    return descriptor


def _let_go(start: Start) -> None:
    for descriptor in start.spare:
        with suppress(OSError):
            os.close(descriptor)
    start.spare.clear()


def _standard() -> tuple[Any, ...]:
    """Which files the descriptors 0, 1 and 2 are."""
    return tuple(_identity(descriptor) for descriptor in (0, 1, 2))


def _identity(descriptor: int) -> tuple[int, int] | None:
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _world() -> tuple[Any, ...]:
    return time.tzname, os.environ.get("TZ"), _locale()


def _locale() -> str:
    setting: Callable[[int], str] = locale.setlocale
    return setting(locale.LC_ALL)
