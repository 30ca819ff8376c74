"""Actors: processes that run one at a time, and stop where they are told.

The engine is plain synchronous code, so an actor that is to stop in the middle of it is a thread
that waits for its turn. Only one thread ever runs; the schedule alone decides which is next, so a
run is a function of its seed. An actor that is not to stop runs on the caller's own thread, which
costs nothing.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

from surefoot.app.faults import Crashed

Work = Callable[[], Any]


class Crash(Crashed):
    """The process is gone."""


class Role(StrEnum):
    WEB = "web"
    WORKER = "worker"
    KEEPER = "keeper"
    RELAY = "relay"
    PERSON = "person"


@dataclass(eq=False)
class Actor:
    """One process at one piece of work.

    `budget`: how many more points it passes, or the name of the one where it stops; None, all of
    them. `dies`: what it does when they are used up, crash or stop.
    `about`: `step.kind` of the operation it is at; `fence`: the claim under which it last called
    the service.
    """

    name: str
    role: Role
    budget: int | str | None = None
    dies: bool = False
    about: str = ""
    fence: int | None = None
    says: str | None = None  # how the service answers its next call
    at: str = "start"
    done: bool = False
    crashed: bool = False
    frozen: bool = False
    result: Any = None
    error: BaseException | None = None
    ended: Callable[[Actor], None] | None = (
        None  # what the world does when it is done, however it ended
    )
    _thread: _Thread | None = field(default=None, repr=False)


class _Thread:
    """A thread that does the work of one actor after the other: to start one for each takes longer
    than most of them.

    It waits for `go` before each work, and where an actor stops in one.
    """

    _idle: ClassVar[list[_Thread]] = []

    def __init__(self) -> None:
        self.go, self.work = threading.Lock(), _nothing
        self.go.acquire()
        threading.Thread(target=self._live, name="actor", daemon=True).start()

    @classmethod
    def of_one_idle(cls) -> _Thread:
        return cls._idle.pop() if cls._idle else cls()

    def is_idle(self) -> None:
        self.work = _nothing
        self._idle.append(self)

    def _live(self) -> None:
        while True:
            self.go.acquire()
            Context().run(self.work)  # nothing of the actor before is left, as in a new thread


def _nothing() -> None:
    """What an idle thread has to do."""


Interfere = Callable[[Actor, str], BaseException | None]


class Scheduler:
    """Where actors run.

    `points` counts every named point that was passed, `crashes` those where somebody died.

    `interfere`: asked at each point; what it returns is raised there (a `Crashed` ends the actor).
    """

    def __init__(self) -> None:
        self.current: Actor | None = None
        self.points: Counter[str] = Counter()
        self.crashes: Counter[str] = Counter()
        self.paused: list[Actor] = []
        self.interfere: Interfere | None = None
        self._back = threading.Lock()
        self._back.acquire()

    # --- called by the director -------------------------------------------------------------------
    def start(self, actor: Actor, work: Work, *, may_wait: bool = False) -> Actor:
        """Let an actor do `work`, until it is done, dies or has used up its budget.

        `may_wait`: it may be made to wait.
        """
        if may_wait or (actor.budget is not None and not actor.dies):
            actor._thread = _Thread.of_one_idle()
            actor._thread.work = lambda: self._live(actor, work)
            self._hand_over(actor)
        else:
            self._perform(actor, work)
            self._settle(actor)
        return actor

    def resume(self, actor: Actor, budget: int | str | None = None, *, dies: bool = False) -> Actor:
        """Let a paused actor go on. `dies` with a budget of 0: it crashes where it stands."""
        self.paused.remove(actor)
        actor.budget, actor.dies = budget, dies
        self._hand_over(actor)
        return actor

    def clear(self) -> None:
        """Everybody who still waits is gone."""
        for actor in list(self.paused):
            actor.ended = None
            self.resume(actor, 0, dies=True)

    # --- called by actors -------------------------------------------------------------------------
    def point(self, name: str) -> None:
        """A place between two instructions where a process may stop, freeze or die.

        Does nothing outside an actor.
        """
        actor = self.current
        if actor is None:
            return
        actor.at = name
        self.points[name] += 1
        if self.interfere is not None and (raised := self.interfere(actor, name)) is not None:
            if isinstance(raised, Crashed):
                self.crashes[name] += 1
            raise raised
        if actor.budget is None:
            return
        if isinstance(actor.budget, int):
            actor.budget -= 1
        if actor.budget == name or actor.budget in (0, -1):
            self._stop(actor)

    def wait(self, name: str) -> None:
        """The actor waits for something outside: it stops here whatever its budget.

        On the caller's thread it just goes on.
        """
        actor = self.current
        if actor is None:
            return
        actor.at = name
        self.points[name] += 1
        if actor._thread is not None:
            actor.budget = 0
            actor.dies = False
            self._stop(actor)

    # --- how --------------------------------------------------------------------------------------
    def _stop(self, actor: Actor) -> None:
        if actor.dies:
            self._die(actor)
        self.paused.append(actor)
        assert actor._thread is not None
        self._back.release()
        actor._thread.go.acquire()
        if actor.dies and actor.budget == 0:
            self._die(actor)

    def _die(self, actor: Actor) -> None:
        self.crashes[actor.at] += 1
        actor.budget = None
        raise Crash(actor.at)

    def _live(self, actor: Actor, work: Work) -> None:
        self._perform(actor, work)
        self._back.release()

    def _perform(self, actor: Actor, work: Work) -> None:
        self.current = actor
        try:
            actor.result = work()
        except Crashed:
            actor.crashed = True
        except Exception as error:  # the world looks at what ended an actor
            actor.error = error
        actor.done = True

    def _hand_over(self, actor: Actor) -> None:
        assert actor._thread is not None
        self.current = actor
        actor._thread.go.release()
        self._back.acquire()
        self._settle(actor)

    def _settle(self, actor: Actor) -> None:
        self.current = None
        if not actor.done:
            return
        if actor._thread is not None:
            actor._thread.is_idle()
        if actor.ended is not None:
            actor.ended(actor)
