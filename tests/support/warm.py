"""Start our processes from one that has imported everything (`warm_server`), instead of anew.

What runs is the same code in a process of its own: its own pid, environment, files, session and
end. Where that cannot be had (another system than Linux), or a test sets what Python itself reads,
a process is started as ever. Some tests always do that: they are about the start.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Protocol

from surefoot.app.supervisor.leash import leashed
from tests.support import warm_part
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
PADDING = "-" * 3000  # room for the words of what it becomes
START_S = 120.0


class Process(Protocol):
    """What tests use of `subprocess.Popen`."""

    pid: int
    returncode: int | None

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int) -> None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...


class Forked:
    """A child of the warm server, which tells its end on the connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.pid = int(connection.recv(64))
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self._connection.setblocking(False)
            try:
                self._hear()
            except BlockingIOError:
                return None
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self._connection.settimeout(timeout)
            try:
                self._hear()
            except TimeoutError:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0) from None
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _hear(self) -> None:
        said = self._connection.recv(64)
        assert said, "the warm server has ended"
        self.returncode = int(said)
        self._connection.close()


def start(
    words: Sequence[str],
    *,
    env: Mapping[str, str],
    said: IO[bytes],
    errors: IO[bytes] | None = None,
    cwd: Path | None = None,
    session: bool = True,
    leash: int = signal.SIGKILL,
    spares: int = 0,
) -> Process:
    """`python -m` with these words, from the warm server if that is the same. `said`: its output;
    `errors`: that of its errors, if another. `leash`, `spares`: see `warm_part.Asked`; whatever
    happens to the tests, nothing that they started is left."""
    words = list(words)
    if sys.platform != "linux" or not warm_part.is_fit(words, env):
        return subprocess.Popen(
            leashed([sys.executable, "-m", *words], on_death=signal.Signals(leash)),
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=errors or said,
            start_new_session=session,
        )
    with open(os.devnull, "rb") as nothing:
        files = [nothing.fileno(), said.fileno(), (errors or said).fileno()]
        asked = warm_part.asked(words, env, files, session=session, leash=leash)
        asked.spares = spares
        asked.cwd = str(cwd or asked.cwd)
        place = _server()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.connect(place)
        asked.send(connection)
    return Forked(connection)


def run(
    words: Sequence[str],
    *,
    env: Mapping[str, str],
    timeout_s: float,
    cwd: Path | None = None,
    spares: int = 0,
) -> subprocess.CompletedProcess[str]:
    """As `subprocess.run` with what it says, to its end."""
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as errors:
        files = {"said": said, "errors": errors}
        process = start(words, env=env, cwd=cwd, session=False, spares=spares, **files)
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        return subprocess.CompletedProcess(list(words), code, _text(said), _text(errors))


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


@cache
def _server() -> str:
    """The place of this test process's own, started when it is first wanted."""
    home = tempfile.mkdtemp(prefix="warm-")
    place, told = f"{home}/socket", Path(home, "said")
    with told.open("wb") as said:
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.support.warm_server", place, PADDING],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=said,
        )
    wait_until(
        lambda: Path(place).exists() or server.poll() is not None, START_S, what="the warm server"
    )
    assert server.poll() is None, told.read_text()
    atexit.register(_end, server, home)
    return place


def _end(server: subprocess.Popen[bytes], home: str) -> None:
    server.communicate()  # its standard input ends, also when this process is killed
    shutil.rmtree(home, ignore_errors=True)
