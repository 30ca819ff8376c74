"""What a batch used: read before, read after, subtracted.

Processor time comes from the processes themselves, so neighbours do not matter, and children that
ended are counted by their parents. Broker commands are Redis's own count by command; those of idle
polling and of the bench itself are left out, so that what remains belongs to jobs and is the same
in every run.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import redis
from sqlalchemy import Engine, create_engine, text

from surefoot.app.bench.tally import Tallies
from surefoot.app.delivery.broker import redis_url

# Of time that passes and of connections, not of jobs: blocking pops (one for each message is put
# back by `job_commands`), handshakes, a queue's binding (once for each connection), questions how
# deep a queue is, and our own questions.
POPS = ("brpop", "blmove")
PUSHES = ("lpush",)
SHAKING_HANDS = (
    "auth",
    "hello",
    "select",
    "client",
    "command",
    "config",
    "script",
    "sadd",
    "smembers",
)
IDLE = (
    *POPS,
    *SHAKING_HANDS,
    "ping",
    "info",
    "dbsize",
    "llen",
    "zrange",
    "zrevrangebyscore",
    "set",
)
# kombu's look at unacknowledged messages is a zrange under a lock; to let go of the lock it runs a
# script of two commands
OF_A_LOOK = ("evalsha", "get", "del")
INDEX_HEADER_BYTES, FRAME_HEADER_BYTES = 48, 24


@dataclass
class Reading:
    """Counters at one moment. Seconds of processor time; None where this machine cannot see it."""

    cpu_s: dict[str, float | None] = field(default_factory=dict)
    commands: dict[str, int] = field(default_factory=dict)
    commits: int = 0
    wal_bytes: int | None = None
    busy_s: float = 0.0  # of the whole machine
    ours_s: float = 0.0  # of all processes of the bench


def messages(commands: Mapping[str, int]) -> int:
    """Messages sent."""
    return sum(commands.get(name, 0) for name in PUSHES)


def job_commands(commands: Mapping[str, int]) -> int:
    """Commands that jobs cause: all but those above, and one pop for each message."""
    looks = commands.get("zrange", 0) + commands.get("zrevrangebyscore", 0)
    calls = sum(calls for name, calls in commands.items() if name not in IDLE + OF_A_LOOK)
    return (
        calls
        + sum(max(0, commands.get(name, 0) - looks) for name in OF_A_LOOK)
        + messages(commands)
    )


def tree_cpu_s(pid: int) -> float:
    """Seconds of processor time of a process, what it started, and what of that has ended."""
    total = 0.0
    try:
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            try:
                times = process.cpu_times()
            except psutil.Error:
                continue
            total += (
                times.user
                + times.system
                + getattr(times, "children_user", 0.0)
                + getattr(times, "children_system", 0.0)
            )
    except psutil.Error:
        pass
    return total


def tree_rss_bytes(pids: Iterable[int]) -> int:
    """Memory of these processes and their children; what they share is counted in each."""
    total = 0
    for pid in pids:
        try:
            root = psutil.Process(pid)
            total += sum(
                process.memory_info().rss for process in (root, *root.children(recursive=True))
            )
        except psutil.Error:
            continue
    return total


def machine_busy_s() -> float:
    """Seconds that all processors together were not idle."""
    times: Any = psutil.cpu_times()
    counted = sum(
        getattr(times, name, 0.0) for name in ("user", "system", "nice", "irq", "softirq", "steal")
    )
    return float(counted)


class Broker:
    """A Redis server's own account."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(
            redis_url(url), socket_timeout=5.0, decode_responses=True
        )
        info: Any = self._client.info("server")
        self.version = str(info["redis_version"])

    def commands(self) -> dict[str, int]:
        """Command -> calls since the server started."""
        info: Any = self._client.info("commandstats")
        return {
            name.removeprefix("cmdstat_").partition("|")[0]: int(stat["calls"])
            for name, stat in info.items()
        }

    def cpu_s(self) -> float:
        info: Any = self._client.info("cpu")
        return float(info["used_cpu_sys"]) + float(info["used_cpu_user"])

    def close(self) -> None:
        self._client.close()


class PostgresGauge:
    """WAL of the whole server, and processor time of its processes when they run on this machine."""

    def __init__(self, url: str) -> None:
        self._db: Engine = create_engine(url, isolation_level="AUTOCOMMIT", pool_size=1)
        with self._db.connect() as connection:
            backend = int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
        self._postmaster = _parent_named(backend, "postgres")

    def wal_bytes(self) -> int | None:
        with self._db.connect() as connection:
            return int(
                connection.execute(
                    text("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')")
                ).scalar_one()
            )

    def cpu_s(self) -> float | None:
        return tree_cpu_s(self._postmaster) if self._postmaster else None

    def look(self) -> None:
        """Nothing passes unseen here."""

    def close(self) -> None:
        self._db.dispose()


def _parent_named(pid: int, name: str) -> int | None:
    """The parent of `pid`, if both are processes of this machine and of that program."""
    try:
        process = psutil.Process(pid)
        parent = process.parent()
        return (
            parent.pid
            if parent is not None and name in process.name() and name in parent.name()
            else None
        )
    except psutil.Error:
        return None


class SqliteGauge:
    """Bytes written to the write-ahead log, from its index: the number of valid frames, over every
    time it starts anew.

    The files are read as files. This process holds no connection: closing a file drops the locks of
    its whole process.
    """

    def __init__(self, file: Path) -> None:
        self._index = file.with_name(file.name + "-shm")
        self._frame_bytes = 0
        self._salt, self._frames, self._before = b"", 0, 0

    def look(self) -> None:
        """To be called often: a log that starts anew between two looks hides what was written after
        the earlier one.

        Every new start has another salt; the log's own sequence number tells nothing, since each
        connection counts for itself.
        """
        try:
            header = self._index.read_bytes()[:INDEX_HEADER_BYTES]
        except OSError:
            return
        if len(header) < INDEX_HEADER_BYTES:
            return
        page, frames = struct.unpack_from("=HI", header, 14)
        salt = header[32:40]
        self._frame_bytes = (65536 if page == 1 else page) + FRAME_HEADER_BYTES
        if salt != self._salt:
            self._before, self._salt, self._frames = self._before + self._frames, salt, 0
        self._frames = max(self._frames, frames)

    def wal_bytes(self) -> int | None:
        self.look()
        return (self._before + self._frames) * self._frame_bytes

    def cpu_s(self) -> float | None:
        return None  # it runs inside client and workers

    def close(self) -> None:
        """Nothing is open."""


class Gauges:
    """All of them."""

    def __init__(
        self, broker: Broker, store: PostgresGauge | SqliteGauge, tallies: Tallies
    ) -> None:
        self.broker, self.store, self._tallies = broker, store, tallies

    def read(self, client: int, workers: Iterable[int]) -> Reading:
        """Everything, now. `client`, `workers`: the pids of their leaders."""
        database, broker = self.store.cpu_s(), self.broker.cpu_s()
        worked = sum(tree_cpu_s(pid) for pid in workers)
        return Reading(
            cpu_s={
                "client": tree_cpu_s(client),
                "workers": worked,
                "database": database,
                "broker": broker,
            },
            commands=self.broker.commands(),
            commits=self._tallies.total("commits"),
            wal_bytes=self.store.wal_bytes(),
            busy_s=machine_busy_s(),
            ours_s=tree_cpu_s(os.getpid()) + (database or 0.0),
        )
