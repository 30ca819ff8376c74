"""SUREFOOT_HOME: where this machine's files are, one supervisor's at a time."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from surefoot.app.errors import SettingsError

SECRET_BYTES = 32
OTHERS = stat.S_IRWXG | stat.S_IRWXO
PRIVATE_UMASK = OTHERS  # of `surefoot up` and its parts: what they make is for its owner


@contextmanager
def locked(home: Path) -> Iterator[None]:
    """Have the home to ourselves.

    The system lets go of the lock when this process ends, however it ends.

    Raises: SettingsError naming the process that has it, or when the home cannot be written.
    """
    path = home / "up.lock"
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)  # keys and inputs of jobs are in there
        descriptor = os.open(
            path, os.O_RDWR | os.O_CREAT, 0o644
        )  # not inherited by children: the lock is ours alone
    except OSError as error:
        raise SettingsError(f"SUREFOOT_HOME: {home} cannot be used: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            holder = os.read(descriptor, 32).decode().strip() or "unknown"
            raise SettingsError(
                f"Surefoot already runs on {home} (pid {holder}); stop that one first, or set SUREFOOT_HOME to another place"
            ) from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)


def tighten(home: Path) -> None:
    """Take from everybody else what they may do with a home, and with what lies in it.

    Links are not followed.

    A file of somebody else, or one that is gone meanwhile, stays as it is.
    """
    for folder, _, files in os.walk(home):
        for path in (folder, *(os.path.join(folder, file) for file in files)):
            with suppress(OSError):
                found = os.lstat(path)
                mode = stat.S_IMODE(found.st_mode)
                if not stat.S_ISLNK(found.st_mode) and mode & OTHERS:
                    os.chmod(path, mode & ~OTHERS)


def keep(path: Path, given: str = "", *, prefix: str = "") -> str:
    """A secret text kept in a file that only its owner reads: `given` when there is one, else the
    kept one, else a new one.
    """
    if not given and path.exists():
        kept = path.read_text().strip()
        if kept:
            return kept
    text = given or prefix + secrets.token_urlsafe(SECRET_BYTES)
    write_private(path, text + "\n")
    return text


def flower_file(home: Path) -> Path:
    """Where Flower keeps what it saw, in a folder that only its owner reads."""
    folder = home / "flower"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder / "seen"


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    partial.replace(path)
