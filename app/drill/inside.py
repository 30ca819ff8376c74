"""Between two lines of a developer's function: where they are, and who stops there.

The hazard: a worker dies, or stands still for a minute, at any line of a step, and the mistakes
that cost money lie in there: look and then act, a call to another machine inside a local
transaction. The engine's own points lie around the function.

The answer: `sys.settrace` tells each line before it is run. A line is one of the developer's when
its file is neither the engine's nor a library's. Two kinds of code are passed over: modules that
are being imported, and what stands in for another machine (`surefoot.stand_in`), for that does not
die with the worker.
"""

from __future__ import annotations

import gc
import os
import site
import sqlite3
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import compress
from types import FrameType, TracebackType
from typing import Any

from surefoot import app
from surefoot.app.participant import stands_in

Stop = Callable[[str], None]  # what is done where the worker stops; it may raise
SETTLE_S = 0.2  # how long a transaction of another thread is given to end
LOOK_S = 0.005


class Lines:
    """Follows one call of a developer's function.

    `places`: the lines that it came to, `file.py:57`, each once, in order.

    `at`: the place where `stop` is called the first time that the function is about to run that
    line; "" for none.
    """

    def __init__(self, at: str = "", stop: Stop = lambda place: None) -> None:
        self.places: dict[str, None] = {}
        self._at, self._stop = at, stop
        self._muted = 0

    def __enter__(self) -> Lines:
        self._before = sys.gettrace()
        sys.settrace(self._called)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        sys.settrace(self._before)

    def _called(self, frame: FrameType, event: str, arg: Any) -> Any:
        if self._muted or not is_developers(frame.f_code.co_filename):
            return None
        if frame.f_code.co_name == "<module>" or stands_in(frame.f_code):
            self._muted += 1
            return self._passed_over
        return self._line

    def _line(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "line":
            place = f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"
            self.places.setdefault(place)
            if place == self._at:
                self._at = ""
                sys.settrace(self._before)
                frame.f_trace = None
                self._stop(place)
                return None
        return self._line

    def _passed_over(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "return":
            self._muted -= 1
        return self._passed_over


@lru_cache(maxsize=4096)
def is_developers(path: str) -> bool:
    """Whether a file is neither Python's, nor a library's, nor the engine's."""
    return not path.startswith("<") and not os.path.realpath(path).startswith(_others())


@lru_cache(maxsize=1)
def _others() -> tuple[str, ...]:
    paths = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    paths += [site.getusersitepackages(), os.path.dirname(app.__file__)]
    return tuple(os.path.realpath(path) + os.sep for path in paths if path)


def spread(places: Sequence[str], most: int) -> list[str]:
    """At most so many of them, evenly apart, the first and the last among them."""
    if len(places) <= most:
        return list(places)
    step = (len(places) - 1) / max(1, most - 1)
    return [places[round(number * step)] for number in range(most)]


def in_transaction() -> bool:
    """Whether a transaction is open in this process that nobody else is about to end.

    A process that stands still in one keeps others out by its locks: here, in one thread, they
    would wait for each other for ever.
    """
    until = time.monotonic() + SETTLE_S
    while there := [one for one in _connections() if _is_open(one)]:
        if threading.active_count() == 1:
            return True  # nobody else is there to end it
        while any(_is_open(one) for one in there):
            if time.monotonic() > until:
                return True
            time.sleep(LOOK_S)
    return False


def _connections() -> list[Any]:
    """All open connections of this process, wherever they are kept.

    A large process holds millions of objects, and each line of a step asks: no Python code runs for
    each object. Types are compared, since a proxy lies about its class.
    """
    every, kinds = gc.get_objects(), {id(kind) for kind in _kinds()}
    return list(compress(every, map(kinds.__contains__, map(id, map(type, every)))))


def _kinds() -> set[type]:
    """The classes of connections that there are: nobody imports PostgreSQL's driver for a drill on
    SQLite.
    """
    psycopg = sys.modules.get("psycopg")
    found: set[type] = set()
    left: list[type] = [sqlite3.Connection, *([psycopg.Connection] if psycopg else [])]
    while left:
        found.add(kind := left.pop())
        left += kind.__subclasses__()
    return found


def _is_open(connection: Any) -> bool:
    if isinstance(connection, sqlite3.Connection):
        with suppress(sqlite3.Error):
            return connection.in_transaction
        return False
    return not connection.closed and connection.info.transaction_status not in (
        0,
        4,
    )  # idle, unknown
