"""A real `surefoot up` in a process of its own, with its home in a folder of the test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import psutil

from surefoot.app.supervisor import runfile
from surefoot.app.supervisor.leash import leashed
from tests.support import warm
from tests.support.files import text_of
from tests.support.ports import free_port
from tests.support.processes import lives
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
READY_S = 120.0
STOP_S = 60.0
COMMAND_S = 120.0


class Up:
    """Everything of one home. `env`: more settings, by the name of their environment variable."""

    module = "surefoot.app.cli"  # what is run as `surefoot`
    python = sys.executable
    anew = False  # whether its processes are started as users start them, not by `warm`
    spares = 9  # so many parts start without reading their code; further ones are started anew
    cwd: Path | None = None  # where it is run

    def __init__(self, home: Path, **env: str) -> None:
        self.home = home
        self.env = {
            **os.environ,
            "SUREFOOT_HOME": str(home),
            "PYTHONPATH": str(ROOT),
            "SUREFOOT_PORT": str(free_port()),
            **env,
        }
        self.env.setdefault("SUREFOOT_FLOWER_PORT", str(free_port()))
        self.env.setdefault(
            "SUREFOOT_CHOREOGRAPHY", "0"
        )  # a process less where nobody orders of those services
        self._process: warm.Process | None = None
        self._said = home.with_name(f"{home.name}.said")

    def start(self) -> Up:
        """Start it, and come back when it says that it is ready."""
        with self._said.open("wb") as said:
            self._process = self._start(said)
        wait_until(
            lambda: "Ctrl-C stops everything" in self.said() or self.process.poll() is not None,
            READY_S,
            what="surefoot up",
        )
        assert self.process.poll() is None, self.said()
        return self

    def _start(self, said: IO[bytes]) -> warm.Process:
        words = [self.module, "up"]
        if self.anew or self.python != sys.executable:
            return subprocess.Popen(
                leashed([self.python, "-m", *words], on_death=signal.SIGTERM),  # however tests end
                env=self.env,
                cwd=self.cwd,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        return warm.start(
            words, env=self.env, cwd=self.cwd, said=said, leash=signal.SIGTERM, spares=self.spares
        )

    @property
    def process(self) -> warm.Process:
        assert self._process is not None, "it was not started"
        return self._process

    def said(self) -> str:
        return text_of(self._said)

    @property
    def run(self) -> runfile.RunFile:
        found = runfile.load(self.home)
        assert found is not None
        return found

    @property
    def curl(self) -> list[str]:
        """The command that it printed, for a shell: into a file it names the file of the key."""
        return [
            "sh",
            "-c",
            next(line for line in self.said().splitlines() if line.startswith("curl ")),
        ]

    def pids(self) -> list[int]:
        """Every process that belongs to it but itself."""
        return [
            process.pid for process in psutil.Process(self.process.pid).children(recursive=True)
        ]

    def pid_of(self, part: str) -> int:
        """The leader of a part, as the table said when it was ready."""
        line = next(line for line in self.said().splitlines() if line.startswith(f"{part} "))
        return int(next(word for word in line.split() if word.isdigit()))

    def command(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run another `surefoot` command on the same home, which has to find everything by itself."""
        env = {
            name: value
            for name, value in self.env.items()
            if name not in ("SUREFOOT_PORT", "SUREFOOT_FLOWER_PORT")
        }
        command = ["surefoot.app.cli", *words]
        if self.anew or self.python != sys.executable:
            done = subprocess.run(
                [self.python, "-m", *command],
                env=env,
                cwd=self.cwd,
                capture_output=True,
                text=True,
                check=False,
                timeout=COMMAND_S,
            )
        else:
            done = warm.run(command, env=env, cwd=self.cwd, timeout_s=COMMAND_S)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def json(self, *words: str) -> Any:
        return json.loads(self.command(*words, "--json").stdout)

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Ask it to stop; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(STOP_S)

    def kill(self) -> None:
        """SIGKILL to the supervisor alone, and wait until nothing of it lives."""
        pids = self.pids()
        self.process.kill()
        self.process.wait()
        wait_until(
            lambda: not any(lives(pid) for pid in pids),
            STOP_S,
            what="all processes to end after their supervisor was killed",
        )

    def close(self) -> None:
        """For the end of a test: whatever still runs ends."""
        if self._process is not None and self._process.poll() is None:
            self.kill()
