"""How parts live: started in order, watched, started again, stopped in order."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from types import FrameType

from surefoot.app.errors import SurefootError
from surefoot.app.supervisor import ports
from surefoot.app.supervisor.child import Child
from surefoot.app.supervisor.part import Part
from surefoot.app.supervisor.watchdog import Watchdog

TICK_S = 0.1
TRIES_ON_A_PORT = (
    3  # starts that did not get ready, until a part whose port is held moves on to another one
)
LOOPBACK = "127.0.0.1"
DEATHS_BEFORE_READY = 3  # a part that ends this often without ever having been ready cannot start
READY_S = 60.0


class CannotStart(SurefootError):
    """A part did not start."""


class PortTaken(SurefootError):
    """A part that ended cannot come back on the port that was chosen for it: somebody else has that
    now.
    """


class Stopped(SurefootError):
    """Somebody asked to stop."""


class Supervisor:
    """Runs parts. `say` is given one line for each event. To be made and used in the main thread.

    `tell`: what a part is told of `env`, by its name; everything when it is not given.
    """

    def __init__(
        self,
        logs: Path,
        env: Mapping[str, str],
        say: Callable[[str], None],
        tell: Callable[[str], Mapping[str, str]] | None = None,
    ) -> None:
        self.children: list[Child] = []
        self._logs = logs
        self.env = dict(env)
        self._say = say
        self._tell = tell or (lambda name: self.env)
        self._asked = 0  # how often a signal asked to stop
        self._watchdog = Watchdog()
        logs.mkdir(parents=True, exist_ok=True)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    @property
    def asked(self) -> bool:
        """Whether a signal has asked to stop since the stop began, or at all."""
        return self._asked > 0

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._asked += 1

    def start(self, part: Part) -> Child:
        """Start a part; it is watched from now on. It may not be ready yet."""
        child = Child(part, self._logs / f"{part.name}.log", self._tell(part.name), self._watchdog)
        self.children.append(child)
        child.start()
        return child

    def until_ready(self, *children: Child, timeout_s: float = READY_S) -> None:
        """Wait until each of these has said that it is ready.

        Raises: CannotStart with its last words when one ends again and again, or takes too long;
        Stopped.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            self._tick()
            waiting = [child for child in children if not child.ready]
            if not waiting:
                return
            for child in waiting:
                if child.pid is None and child.starts >= DEATHS_BEFORE_READY:
                    raise CannotStart(f"{child.part.name} does not start. {_told(child)}")
            if time.monotonic() >= deadline:
                raise CannotStart(
                    f"{waiting[0].part.name} was not ready after {timeout_s:g} s. {_told(waiting[0])}"
                )
            time.sleep(TICK_S)

    def watch(self) -> None:
        """Keep everything running until a signal says stop.

        Raises: Stopped; PortTaken when all has to begin anew on other ports.
        """
        while True:
            self._tick()
            time.sleep(TICK_S)

    def _tick(self) -> None:
        if self._asked:
            raise Stopped
        self._watchdog.ensure()
        for child in self.children:
            if (code := child.ended()) is not None:
                self._say(
                    f"{child.part.name} {_how(code)}; it starts again in {child.pause_s():.1f} s"
                )
                self._look_at_its_port(child)
            elif child.is_due():
                self._say(f"{child.part.name} starts again (pid {child.start()})")
            elif not child.ready and child.pid is not None:
                child.ready = child.part.ready(child.pid)
                if child.ready:
                    child.starts_unready = 0
                if child.ready and child.starts > 1:
                    self._say(f"{child.part.name} is back")

    def _look_at_its_port(self, child: Child) -> None:
        """Raises: PortTaken."""
        port = child.part.port
        if port is None or child.starts_unready < TRIES_ON_A_PORT or ports.is_free(LOOPBACK, port):
            return
        raise PortTaken(
            f"port {port} of {child.part.name} is held by {ports.holder(port) or 'nobody we can see'}"
        )

    def stop(self) -> None:
        """Stop all parts, rank by rank, each within its budget; a further signal kills all at once.

        No process is left.
        """
        self._asked = 0
        by_rank = sorted(self.children, key=lambda child: child.part.stop_rank)
        for _, group in groupby(by_rank, key=lambda child: child.part.stop_rank):
            self._stop_together(list(group))
        self._watchdog.close()

    def _stop_together(self, children: Sequence[Child]) -> None:
        running = [child for child in children if not child.has_stopped()]
        if running:
            self._say("stopping " + ", ".join(child.part.name for child in running))
        for child in children:
            child.ask_to_stop()
        asked_at = time.monotonic()
        while running := [child for child in children if not child.has_stopped()]:
            for child in running:
                if self._asked:
                    child.kill()
                elif time.monotonic() - asked_at >= child.part.stop_budget_s:
                    self._say(
                        f"{child.part.name} did not stop in {child.part.stop_budget_s:g} s and was killed"
                    )
                    child.kill()
            time.sleep(TICK_S / 2)


def _how(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with code {code}"


def _told(child: Child) -> str:
    words = child.last_words()
    return (
        f"The end of {child.log}:\n{words}"
        if words
        else f"It said nothing; its log is {child.log}."
    )
