"""Real worker processes for tests: started, watched through their files, ended by their pid."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import psutil

from tests.support import warm
from tests.support.files import lines_of, text_of
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[3]
START_S = 120.0
STOP_S = 60.0


class WorkerProcess:
    """`celery worker` in a process group of its own. Use it in a `with`."""

    def __init__(
        self,
        home: Path,
        broker_url: str,
        *,
        app: str = "tests.unit.workers.plain",
        concurrency: int = 2,
        environment: dict[str, str] | None = None,
        words: tuple[str, ...] = (),
    ) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        self.log = home / "worker.log"
        self._words = [
            "worker",
            "-c",
            str(concurrency),
            "-l",
            "INFO",
            "-n",
            f"w{os.getpid()}_{id(self)}@test",
            *words,
        ]
        self._app = app
        clean = {k: v for k, v in os.environ.items() if not k.startswith("PLAIN_")}
        self.environment = {
            **clean,
            "BROKER_URL": broker_url,
            "PLAIN_HOME": str(home),
            "SUREFOOT_HOME": str(home),
            "SUREFOOT_ENV": "test",
            "REMAP_SIGTERM": "SIGQUIT",
            "PYTHONPATH": str(ROOT),
            **(environment or {}),
        }
        self.process: warm.Process | None = None

    def start(self) -> WorkerProcess:
        before = len(self.text())  # of a worker that was here earlier
        with self.log.open("ab") as log:
            self.process = warm.start(
                ["celery", "-A", self._app, *self._words],
                env=self.environment,
                said=log,
                cwd=ROOT,
            )
        wait_until(
            lambda: "ready." in self.text()[before:] or not self.running,
            START_S,
            what="the worker to be ready",
        )
        assert self.running, self.text()[-3000:]
        return self

    def __enter__(self) -> WorkerProcess:
        return self.start()

    def __exit__(self, *_: Any) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def children(self) -> list[int]:
        return [child.pid for child in self.all()[1:]]

    def all(self) -> list[psutil.Process]:
        """The main process, and its children."""
        main = psutil.Process(self.pid)
        return [main, *main.children()]

    def text(self) -> str:
        return text_of(self.log)

    def lines(self) -> list[list[str]]:
        """What the plain tasks noted, word by word."""
        return [line.split() for line in lines_of(self.home / "log")]

    def ended(self, *steps: str) -> list[str]:
        """The steps that have ended, in that order (only these `steps`, when given)."""
        return [
            words[1]
            for words in self.lines()
            if words[0] == "end" and (not steps or words[1] in steps)
        ]

    def terminate(self) -> int:
        """SIGTERM to the main process; its exit code."""
        assert self.process is not None
        os.kill(self.pid, signal.SIGTERM)
        return self.process.wait(STOP_S)

    def kill(self) -> None:
        """SIGKILL to the main process, and to what it left."""
        if self.process is None:
            return
        left = self.all()[1:] if self.running else []
        if self.running:
            os.kill(self.pid, signal.SIGKILL)
        self.process.wait(STOP_S)
        for child in left:
            try:
                child.kill()  # psutil looks at its start time first
                child.wait(STOP_S)
            except psutil.Error:
                pass
