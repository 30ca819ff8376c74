"""The files of counters: one for each process and kind, written by it alone, summed by the process
that is asked.

The format and the summing are prometheus-client's; its own switch for it is an environment variable
read at import, which would turn on Flower's metrics in the same folder, and it names files by pid
alone.
"""

from __future__ import annotations

import fcntl
import os
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

FOLDER = "metrics"  # under the home
PAST = "past"  # stands for the pid in the file of those that have ended


class _State:
    """What this process has open. `host`: as it stands in the names of files."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.lock = threading.Lock()
        self.files: dict[str, Any] = {}  # kind -> MmapedDict
        self.host = re.sub(r"[^A-Za-z0-9.]", ".", socket.gethostname())[:64]


_state = _State()


def _begin_in_child() -> None:
    _state.lock = threading.Lock()  # its holder stayed in the parent
    _state.files = {}  # the parent's


os.register_at_fork(after_in_child=_begin_in_child)


def start(home: Path) -> None:
    """Count from now on, in this process and in those forked from it.

    A folder that cannot be made: nothing is counted.
    """
    import prometheus_client.mmap_dict  # noqa: F401 - read once, before the first fork

    folder = home.absolute() / FOLDER
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return
    _state.folder = folder


def stop() -> None:
    """Count no more; what was counted stays."""
    with _state.lock:
        _state.folder = None
        for file in _state.files.values():
            file.close()
        _state.files = {}


def started() -> bool:
    return _state.folder is not None


def add(kind: str, amounts: dict[str, float]) -> None:
    """Add to values of this process by their keys (see `mmap_key`).

    A disk that is full loses a count, not a job.
    """
    if _state.folder is None:
        return
    try:
        with _state.lock:
            file = _state.files.get(kind) or _open(kind)
            for key, amount in amounts.items():
                file.write_value(key, file.read_value(key)[0] + amount, 0.0)
    except Exception:  # counting is nobody's duty
        return


def _open(kind: str) -> Any:
    from prometheus_client.mmap_dict import MmapedDict

    assert _state.folder is not None
    file: Any = MmapedDict(str(_state.folder / f"{kind}_{_state.host}-{os.getpid()}.db"))  # type: ignore[no-untyped-call]
    _state.files[kind] = file
    return file


# --- for the process that is asked ----------------------------------------------------------------
def collected(home: Path) -> list[Metric]:
    """Everything counted under this home, by any process."""
    from prometheus_client.multiprocess import MultiProcessCollector

    folder = home.absolute() / FOLDER
    if not folder.is_dir():
        return []
    with _alone(folder):
        _fold(folder)
        merged: Any = MultiProcessCollector.merge(
            [str(path) for path in sorted(folder.glob("*.db"))]
        )  # type: ignore[no-untyped-call]
        return list(merged)


def tidy() -> None:
    """Fold what this host's processes that have ended left in the folder of this one.

    The process that is asked does it, and a worker each time a child begins: its children come and
    go, and on a host of its own nobody else's eyes fall on their files.
    """
    folder = _state.folder
    if folder is None:
        return
    with suppress(Exception), _alone(folder):  # counting is nobody's duty
        _fold(folder)


def clean(home: Path) -> None:
    """Begin anew: for the start of everything on this machine, when none of its processes runs."""
    for path in (home / FOLDER).glob("*.db"):
        path.unlink(missing_ok=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fold(folder: Path) -> None:
    """Add the files of this host's processes that have ended into one, or a worker's children leave
    thousands behind.
    """
    from prometheus_client.mmap_dict import MmapedDict

    for path in folder.glob(f"*_{_state.host}-*.db"):
        kind, _, rest = path.name.partition("_")
        pid = rest.removesuffix(".db").rpartition("-")[2]
        if pid == PAST or not pid.isdigit() or psutil.pid_exists(int(pid)):
            continue
        past: Any = MmapedDict(str(folder / f"{kind}_{_state.host}-{PAST}.db"))  # type: ignore[no-untyped-call]
        try:
            for key, value, _, _ in MmapedDict.read_all_values_from_file(str(path)):  # type: ignore[no-untyped-call]
                past.write_value(key, past.read_value(key)[0] + value, 0.0)
        finally:
            past.close()
        path.unlink(missing_ok=True)
