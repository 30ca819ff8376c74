"""What a worker process has once: its boot id, its engine, its publisher; and what a fork does to
them.

The boot id names this start of this worker. It is made in the main process before the fork, so that
main process and children agree; a host name and pid would come again after a restart, and with them
somebody else's leases.

A forked child shares its parent's sockets and locks. So every process opens its own engine and
publisher at first use, a child never closes what it inherited, and no fork happens while the
keeper's thread is inside the database driver (SQLite and libpq have locks that would stay locked in
the child for ever).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import Engine

from surefoot.app.config import settings
from surefoot.app.delivery.producer import producer_app
from surefoot.app.delivery.publisher import Publisher
from surefoot.app.engine.jobs.fairness import InTurn
from surefoot.app.store.ids import new_id
from surefoot.app.store.session import open_engine
from surefoot.workers.events import EventBuffer
from surefoot.workers.lanes import broker_url

BOOT = new_id()
# a fork waits this long for the keeper's statement; a store that hangs must not stop the pool
FORK_WAIT_S = 5.0


@dataclass
class _Held:
    pid: int = 0
    db: Engine | None = None
    publisher: Publisher | None = None
    in_turn: InTurn | None = None
    events: EventBuffer | None = None
    inherited: list[Engine] = field(
        default_factory=list
    )  # kept, or collecting them would close the parent's sockets


handing_back = (
    threading.Event()
)  # this worker is going: what its children had is handed back, not lost
_held = _Held()
_lock = threading.RLock()
_fork_lock = threading.Lock()


def db() -> Engine:
    """This process's engine."""
    with _lock:
        _after_fork()
        if _held.db is None:
            _held.db = open_engine(settings().store_url, silence_s=settings().store_silence_seconds)
        return _held.db


def publisher() -> Publisher:
    """This process's publisher: impatient, since a lane or the event loop waits behind it."""
    with _lock:
        _after_fork()
        if _held.publisher is None:
            app = producer_app(broker_url(), "worker")
            _held.publisher = Publisher(app, settings().publish_pause_seconds)
        return _held.publisher


def in_turn() -> InTurn:
    """This process's publisher of what becomes ready: a tenant has its turn of a lane, and no more."""
    inner, store = publisher(), db()
    with _lock:
        if _held.in_turn is None or _held.in_turn.inner is not inner:
            _held.in_turn = InTurn(inner, store, settings())
        return _held.in_turn


def events(hostname: str) -> EventBuffer:
    """This process's buffer of events.

    Its thread lives in the process that asks first: ask in a child only.
    """
    known = publisher()
    with _lock:
        if _held.events is None:
            _held.events = EventBuffer(known, hostname)
        return _held.events


def _after_fork() -> None:
    if _held.pid == os.getpid():
        return
    if _held.db is not None:
        _held.db.dispose(close=False)
        _held.inherited.append(_held.db)
    _held.pid, _held.db, _held.publisher, _held.events = os.getpid(), None, None, None


def forget_inherited(**_: object) -> None:
    """`worker_process_init`: a child starts with nothing of its parent's."""
    with _lock:
        _after_fork()


@contextmanager
def no_fork() -> Iterator[None]:
    """Around database work in a thread of the main process."""
    with _fork_lock:
        yield


_taken_for_fork = threading.local()


def _before_fork() -> None:
    # The forking thread may itself be inside no_fork(); the time-out covers that and a store that
    # hangs.
    _taken_for_fork.yes = _fork_lock.acquire(timeout=FORK_WAIT_S)


def _fork_done_in_parent() -> None:
    if _taken_for_fork.yes:
        _fork_lock.release()


def _fork_done_in_child() -> None:
    global _lock, _fork_lock
    _lock, _fork_lock = (
        threading.RLock(),
        threading.Lock(),
    )  # their holders exist only in the parent


os.register_at_fork(
    before=_before_fork, after_in_parent=_fork_done_in_parent, after_in_child=_fork_done_in_child
)
