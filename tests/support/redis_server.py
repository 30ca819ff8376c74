"""A real Redis of our own, which tests stop, freeze and empty."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import redis

from surefoot.app.supervisor import commands
from surefoot.app.supervisor.leash import leashed
from tests.support.ports import free_port
from tests.support.waiting import wait_until

START_S = 60.0
STOP_S = 30.0
CONFIG = "redis.conf"


class RedisServer:
    """One server process on a free port, with its files under `directory`. It comes back on the same port with its data."""

    def __init__(self, binary: str, directory: Path) -> None:
        self.binary = binary
        self.directory = directory
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """The pid of the running server."""
        assert self._process is not None, "this Redis is stopped"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def client(self) -> redis.Redis:
        """A client that gives up soon. Close it, or use it in a `with`."""
        return redis.Redis(port=self.port, socket_timeout=5, socket_connect_timeout=5, protocol=2)

    def start(self) -> RedisServer:
        """Start it, and come back when it answers."""
        if self.running:
            return self
        (self.directory / CONFIG).touch()
        words = commands.redis(self.binary, self.directory, self.port)
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                leashed(words),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(lambda: self._answers() or not self.running, START_S, what="Redis to answer")
        if not self.running:
            raise RuntimeError(
                f"Redis did not start: {(self.directory / 'log').read_text()[-1000:]}"
            )
        return self

    def stop(self, *, kill: bool = False) -> None:
        """Stop it (`kill`: by SIGKILL). Its data stay for the next start."""
        if self._process is None:
            return
        if self._process.poll() is None:
            os.kill(self.pid, signal.SIGCONT)
            os.kill(self.pid, signal.SIGKILL if kill else signal.SIGTERM)
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(STOP_S)
        self._process = None

    def freeze(self) -> None:
        """It keeps its connections and answers nothing, as a machine that swaps to death does."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def flush(self) -> None:
        """Delete every key of every database."""
        with self.client() as client:
            client.flushall()

    def wipe(self) -> None:
        """Delete the files of a stopped server: the next start is an empty one."""
        assert not self.running, "stop it first"
        for path in self.directory.iterdir():
            if path.name not in ("log", CONFIG):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.exceptions.RedisError:
            return False
