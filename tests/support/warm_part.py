"""What a forked process is to become, and how it becomes that: as an exec would have made it."""

from __future__ import annotations

import ctypes
import importlib
import io
import json
import os
import runpy
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from surefoot.app.supervisor.leash import PR_SET_PDEATHSIG

LARGEST = 1 << 20  # bytes of one message: an environment
PATHS = list(sys.path)  # with what the tests were told; a process has its own
AT_THE_START = ("sitecustomize", "usercustomize")  # imported before anything else
STREAMS = ("stdin", "stdout", "stderr")


@dataclass
class Asked:
    """`words`: a module and its arguments. `leash`: the signal it gets when its parent ends.
    `spares`: how many processes it keeps to start others from, if it is a supervisor."""

    words: list[str]
    env: dict[str, str]
    cwd: str
    umask: int
    session: bool
    leash: int
    spares: int = 0
    files: list[int] = field(default_factory=list)

    def send(self, to: socket.socket) -> None:
        told = {name: value for name, value in asdict(self).items() if name != "files"}
        socket.send_fds(to, [json.dumps(told).encode()], self.files)

    def put_on(self, parent: int) -> Asked:
        """In the child, which has closed what it inherited: take all that it was given. Returns what is to run here."""
        for number, fd in enumerate(self.files):
            os.dup2(fd, number)
            os.close(fd)
        if self.session:
            os.setsid()
        os.umask(self.umask)
        os.chdir(self.cwd)
        hold_on_to(parent, self.leash)
        _name(self.words)
        _environment(self.env, self.cwd)
        return self

    def run(self) -> None:
        """As `python -m` would, to the end of the interpreter."""
        asked = self
        if self.spares:
            from tests.support import warm_spares

            asked = warm_spares.lay_in(self.spares) or self
        sys.argv = list(asked.words)
        runpy.run_module(asked.words[0], run_name="__main__", alter_sys=True)


def asked(
    words: list[str], env: Mapping[str, str], files: list[int], *, session: bool, leash: int
) -> Asked:
    """What to become, as a child of this process would: its folder, its umask."""
    umask = os.umask(0o077)
    os.umask(umask)
    return Asked(words, dict(env), str(Path.cwd()), umask, session, leash, files=files)


def receive(connection: socket.socket) -> Asked:
    """What somebody asks for. Raises: EOFError when nobody will."""
    said, files, _, _ = socket.recv_fds(connection, LARGEST, 3)
    if not said:
        raise EOFError
    told: dict[str, Any] = json.loads(said)
    return Asked(**told, files=files)


def is_fit(words: list[str], env: Mapping[str, str]) -> bool:
    """Whether a fork becomes what these words start: what is read at the start was the same for it."""
    if words[0] == "celery" and "worker" in words and env.get("REMAP_SIGTERM") != "SIGQUIT":
        return False
    told = env.get("PYTHONPATH", "").split(os.pathsep)
    if any(Path(place, f"{name}.py").exists() for place in told for name in AT_THE_START):
        return False
    return _of_python(env) == _of_python(os.environ)


def hold_on_to(parent: int, number: int) -> None:
    """As `leash.py`: this signal when the parent ends, or the end if it has."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def _of_python(env: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in env.items()
        if name.startswith("PYTHON") and name not in ("PYTHONPATH", "PYTHONUNBUFFERED")
    }


def _name(words: list[str]) -> None:
    """In the list of processes, where tests look for it by its words. The padding has made room."""
    begins, ends = map(int, Path("/proc/self/stat").read_text().rpartition(")")[2].split()[45:47])
    shown = b"\0".join(word.encode() for word in (sys.executable, "-m", *words))
    shown = shown[: ends - begins - 1].ljust(ends - begins, b"\0")
    ctypes.memmove(begins, shown, len(shown))


def _environment(env: dict[str, str], cwd: str) -> None:
    before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    told = [place for place in env.get("PYTHONPATH", "").split(os.pathsep) if place]
    sys.path[:] = [cwd, *told, *(place for place in PATHS[1:] if place not in before)]
    importlib.invalidate_caches()
    for number, name in enumerate(STREAMS):
        stream = _stream(number, getattr(sys, name), raw="PYTHONUNBUFFERED" in env)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _stream(number: int, like: io.TextIOWrapper, *, raw: bool) -> io.TextIOWrapper:
    """A standard stream, as the interpreter makes it."""
    file: Any = io.FileIO(number, "w" if number else "r", closefd=False)
    if number == 0:
        file = io.BufferedReader(file)
    elif not raw:
        file = io.BufferedWriter(file)
    line = number == 2 and not raw
    return io.TextIOWrapper(
        file, encoding=like.encoding, errors=like.errors, write_through=raw, line_buffering=line
    )
