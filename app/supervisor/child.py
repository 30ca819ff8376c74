"""One running part: its process group, its log, its next start."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from surefoot.app.supervisor.leash import leashed
from surefoot.app.supervisor.part import Part
from surefoot.app.supervisor.watchdog import Watchdog

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
HEALTHY_S = 30.0  # who lived this long starts again with the first pause
LOG_BYTES = 10 * 1024 * 1024  # a log beyond this is put aside at the next start; one older is kept
LAST_WORDS_BYTES, LAST_WORDS_LINES = 4000, 12


class Child:
    """A part and the process that runs it, if one does."""

    def __init__(self, part: Part, log: Path, env: Mapping[str, str], watchdog: Watchdog) -> None:
        self.part = part
        self.log = log
        self.starts = 0
        self.starts_unready = 0  # since it was ready last
        self.ready = False
        self._env = {**env, **part.env}
        self._watchdog = watchdog
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._log_begins = 0  # at this byte of its log what the last start has said
        self._pause_s = FIRST_PAUSE_S
        self.due_at: float | None = None  # when to start it again, on time.monotonic()'s clock

    @property
    def pid(self) -> int | None:
        """Of the process that leads the group; None when it does not run."""
        return self._process.pid if self._process is not None else None

    def start(self) -> int:
        """Start it, its output going to the end of its log. Returns the pid."""
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as log:
            self._log_begins = log.tell()
            self._process = subprocess.Popen(
                leashed(self.part.command),
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._watchdog.add(self._process.pid)
        self._started_at = time.monotonic()
        self.starts += 1
        self.starts_unready += 1
        self.due_at = None
        self.ready = False
        return self._process.pid

    def ended(self) -> int | None:
        """The return code (negative: the signal) when it has ended since the last question, else
        None.

        Whatever is left of its group is killed, and the next start is due after the pause.
        """
        if self._process is None or (code := self._process.poll()) is None:
            return None
        self._bury()
        self.ready = False
        if time.monotonic() - self._started_at >= HEALTHY_S:
            self._pause_s = FIRST_PAUSE_S
        self.due_at = time.monotonic() + self._pause_s
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
        return code

    def is_due(self) -> bool:
        """Whether it ended and its pause is over."""
        return self.due_at is not None and time.monotonic() >= self.due_at

    def pause_s(self) -> float:
        """Seconds until it is started again."""
        return 0.0 if self.due_at is None else max(0.0, self.due_at - time.monotonic())

    def ask_to_stop(self) -> None:
        """SIGTERM to the leader: it knows how to end its own children."""
        self.due_at = None
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def has_stopped(self) -> bool:
        """Whether it has ended; if so, whatever was left of its group is killed."""
        if self._process is not None and self._process.poll() is not None:
            self._bury()
        return self._process is None

    def kill(self) -> None:
        """End the whole group now, by SIGKILL."""
        self.due_at = None
        if self._process is not None:
            _kill_group(self._process.pid)
            self._process.wait()
            self._bury()

    def last_words(self) -> str:
        """The end of what its last start has said, for people: what others said before it is not
        its reason.
        """
        try:
            with self.log.open("rb") as log:
                log.seek(max(self._log_begins, self.log.stat().st_size - LAST_WORDS_BYTES))
                return "\n".join(
                    log.read().decode(errors="replace").strip().splitlines()[-LAST_WORDS_LINES:]
                )
        except OSError:
            return ""

    def _bury(self) -> None:
        if self._process is not None:
            _kill_group(self._process.pid)
            self._watchdog.remove(self._process.pid)
            self._process = None


def _kill_group(pgid: int) -> None:
    try:
        os.killpg(pgid, signal.SIGKILL)
    except (
        ProcessLookupError,
        PermissionError,
    ):  # macOS says "not permitted" of a group of zombies
        pass
