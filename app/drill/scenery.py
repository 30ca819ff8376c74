"""What a drill is played in: whether it may start, the test environment, and the player of its
rows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Protocol

from sqlalchemy import Engine

from surefoot.app.config import Settings
from surefoot.app.drill.row import Row
from surefoot.app.drill.run_result import RunResult
from surefoot.app.errors import RequestError, SettingsError
from surefoot.app.rules.planner import Plan
from surefoot.app.saga.definition import Saga

ENV = "SUREFOOT_ENV"


class Runner(Protocol):
    """A player of rows: in one process, or with real ones."""

    db: Engine
    settings: Settings

    def play(self, row: Row, input: dict[str, Any]) -> RunResult: ...  # noqa: A002
    def bring_back(self) -> None: ...
    def publish_plan(self, plan: Plan) -> None: ...
    def go_on(self) -> None: ...
    def say(self, text: str) -> None: ...


class Session(AbstractContextManager["Session"]):
    """The test environment and the player in it.

    Made anew after a row that failed, so that the next ones do not suffer from it.
    """

    own: Any
    player: Runner

    def __init__(
        self, saga: Saga[Any], make_player: Callable[[Any], AbstractContextManager[Runner]]
    ) -> None:
        """Raises: as `may_start`."""
        may_start(saga)
        self._saga, self._make_player = saga, make_player
        self._stack = ExitStack()

    def __enter__(self) -> Session:
        self.begin()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def begin(self) -> None:
        """Everything of before is gone; a fresh world, a fresh store."""
        self._stack.close()
        self._stack.enter_context(_drill_environment())
        self.own = (
            self._stack.enter_context(self._saga.world()) if self._saga.world is not None else None
        )
        self.player = self._stack.enter_context(self._make_player(self.own))

    def outages(self) -> list[str]:
        """The services that the test environment can take away: asked, and not taken."""
        outage = getattr(self.own, "outage", None)
        return [
            service
            for service in self._saga.effect_readers
            if outage is not None and outage(service) is not None
        ]


def may_start(saga: Saga[Any]) -> None:
    """Raises: SettingsError in production, and for a saga that would call the real world;
    RequestError without examples.
    """
    if os.environ.get(ENV) == "production":
        raise SettingsError(
            f"{ENV}=production: a drill makes faults on purpose, so it does not start here"
        )
    unsafe = [step.name for step in saga if not step.safe_to_drill]
    if saga.world is None and unsafe:
        raise SettingsError(
            f"saga {saga.name} does not say what it may be drilled in, and a drill never calls the real world. "
            f"Declare @{saga.name}.test_environment, or say safe_to_drill=True at each step that touches nothing real "
            f"(not said of {', '.join(unsafe)})"
        )
    if not saga.examples:
        raise RequestError(
            f"saga {saga.name} has no examples: give it some, Saga({saga.name!r}, …, examples=[…])"
        )


@contextmanager
def _drill_environment() -> Iterator[None]:
    before = os.environ.get(ENV)
    os.environ[ENV] = "drill"
    try:
        yield
    finally:
        os.environ.pop(ENV)
        if before is not None:
            os.environ[ENV] = before
