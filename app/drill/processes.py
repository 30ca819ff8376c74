"""The processes of a real drill: broker, web, relay and two workers, as `surefoot up` starts them,
in a home that is gone afterwards.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from sqlalchemy import Engine, make_url

from surefoot.app.access.keys import ensure_admin
from surefoot.app.addresses import url_of
from surefoot.app.config import Settings
from surefoot.app.config import settings as app_settings
from surefoot.app.delivery.broker import probe
from surefoot.app.engine.relay.duties.broker_lost import republish_if_broker_lost
from surefoot.app.environment import variable
from surefoot.app.errors import TryLater
from surefoot.app.faults import Fault
from surefoot.app.store import migrate
from surefoot.app.store.session import open_engine
from surefoot.app.supervisor import guest, ports, stack
from surefoot.app.supervisor.child import FIRST_PAUSE_S, Child
from surefoot.app.supervisor.supervisor import Supervisor

# short, so that what is lost is missed soon
LEASE_S, HEARTBEAT_S, SWEEP_S, LOST_S, GRACE_S = 2.0, 0.4, 0.2, 4.0, 1.0
SHUTDOWN_S = 1.0
GUEST = "drill"
FIRED = b'"fault.fired"'
FREEZES, LOCK_S = (
    5,
    0.2,
)  # tries to freeze a worker without SQLite's lock; our transactions do not hold it for so long
PATIENCE_S = 30.0  # of the drill itself with SQLite's lock


class Processes:
    """Everything that runs.

    `web_url`, `api_key`: where to ask for jobs; `broker_url`: given, or "" for a Redis of its own.
    """

    def __init__(
        self, home: Path, faults: Sequence[Fault], store_url: str, broker_url: str
    ) -> None:
        self.settings = Settings(
            home=home,
            env="drill",
            faults="; ".join(f"{fault.key}*{fault.times}" for fault in faults),
            database_url=store_url,
            broker_url="",
            lease_seconds=LEASE_S,
            heartbeat_seconds=HEARTBEAT_S,
            sweep_seconds=SWEEP_S,
            lost_seconds=LOST_S,
            hard_limit_grace_seconds=GRACE_S,
            soft_shutdown_seconds=SHUTDOWN_S,
            log_format="json",
        )
        self.secrets = stack.secrets_of(self.settings, home)
        self._broker = None if broker_url else stack.broker(home, self.secrets.broker, None)
        self.broker_url = self._broker[2] if self._broker is not None else broker_url
        port = ports.any_free()
        self.web_url = url_of(stack.LOOPBACK, port)
        no_flower = ports.any_free()
        env = stack.environment(
            self.settings,
            home,
            self.secrets,
            stack.shared(self.settings, self.broker_url, {}),
            port,
            no_flower,
        )
        temporary = home / "tmp"  # what killed processes leave behind goes with the home
        temporary.mkdir()
        own = _quick(self.settings) | {"TMPDIR": str(temporary)}
        tell = stack.teller(env | own, self.secrets.broker if self._broker is not None else None)
        self.supervisor = Supervisor(home / "log", env | own, lambda line: None, tell)
        self.db: Engine = open_engine(self.settings.store_url, patience_s=PATIENCE_S)
        self._web_port = port
        self._read: dict[Path, int] = {}  # how many bytes of each log
        self._ours: list[Child] = []

    def start(self) -> None:
        """Start all of it, and come back when it is ready.

        Raises: CannotStart; Stopped when a signal came.
        """
        supervisor, settings = self.supervisor, self.settings
        before_us = [supervisor.start(self._broker[0])] if self._broker is not None else []
        migrate.upgrade(self.db)
        ensure_admin(self.db, self.secrets.api_key)
        supervisor.until_ready(*before_us)
        with contextlib.suppress(TryLater):
            republish_if_broker_lost(self.db, probe(self.broker_url))
        workers = [
            stack.worker(number, self.db, settings.soft_shutdown_seconds)
            for number in range(1, stack.WORKERS + 1)
        ]
        web = stack.web(stack.LOOPBACK, self._web_port, settings.trusted_proxies)
        self._ours = [supervisor.start(part) for part in (web, stack.relay(), *workers)]
        supervisor.until_ready(*self._ours)

    def look(self) -> None:
        """Start again what has ended. Raises: Stopped when a signal came."""
        self.supervisor.until_ready()

    def until_ready(self) -> None:
        """Wait for all. Raises: as `start`."""
        self.supervisor.until_ready(*self._ours)

    def kill_all(self) -> None:
        """SIGKILL to web, relay and workers, with all their children, together."""
        for child in self._ours:
            _signal(child, signal.SIGKILL)
            child._pause_s = FIRST_PAUSE_S  # it did not fall by itself

    def worker_of(self, pid: int) -> Child | None:
        """The worker that this process belongs to."""
        try:
            group = os.getpgid(pid)
        except ProcessLookupError:
            return None
        return next((child for child in self._ours if child.pid == group), None)

    def freeze(self, worker: Child) -> None:
        """SIGSTOP, at a moment when the worker does not hold the lock of a SQLite store: that would
        freeze everybody, by design.
        """
        for _ in range(FREEZES):
            _signal(worker, signal.SIGSTOP)
            if self._can_be_written():
                return
            self.thaw(worker)

    def _can_be_written(self) -> bool:
        file = make_url(self.settings.store_url).database
        if self.db.dialect.name != "sqlite" or file is None:
            return True
        with contextlib.closing(
            sqlite3.connect(file, timeout=LOCK_S, isolation_level=None)
        ) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
        return True

    def thaw(self, worker: Child) -> None:
        _signal(worker, signal.SIGCONT)

    def fired(self) -> list[tuple[datetime, str]]:
        """The faults that processes have fired since the last question, by their logs: when (by
        this machine's clock), and their keys.
        """
        found = []
        for log in sorted((self.settings.home / "log").glob("*.log")):
            with log.open("rb") as file:
                file.seek(self._read.get(log, 0))
                whole, newline, _ = file.read().rpartition(
                    b"\n"
                )  # a line that is being written is for the next time
            self._read[log] = self._read.get(log, 0) + len(whole + newline)
            for line in whole.splitlines():
                if FIRED in line:
                    told = json.loads(line)
                    found.append((datetime.fromisoformat(told["timestamp"]), str(told["fault"])))
        return sorted(found)

    def close(self) -> None:
        for child in self._ours:
            _signal(child, signal.SIGCONT)
        self.supervisor.stop()
        self.db.dispose()


@contextlib.contextmanager
def processes(faults: Sequence[Fault]) -> Iterator[Processes]:
    """Everything started in a home of its own, told these faults; guests of the servers of
    DATABASE_URL and BROKER_URL, if set.

    Raises: SettingsError without a broker, or when a server takes no guests; CannotStart.
    """
    home, given = Path(tempfile.mkdtemp(prefix="surefoot-drill-")), app_settings()
    try:
        with contextlib.ExitStack() as held:
            store_url = held.enter_context(
                guest.store(given.database_url, home / "surefoot.sqlite", whose=GUEST)
            )
            broker_url = (
                held.enter_context(guest.redis_database(given.broker_url, whose=GUEST))
                if given.broker_url
                else ""
            )
            running = Processes(home, faults, store_url, broker_url)
            held.callback(running.close)
            running.start()
            yield running
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _quick(settings: Settings) -> dict[str, str]:
    """The settings that are not said by the place of things, as every part is told them."""
    names = (
        "lease_seconds",
        "heartbeat_seconds",
        "sweep_seconds",
        "lost_seconds",
        "hard_limit_grace_seconds",
        "soft_shutdown_seconds",
    )
    return {variable(name): f"{getattr(settings, name):g}" for name in names}


def _signal(child: Child, number: signal.Signals) -> None:
    if child.pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
