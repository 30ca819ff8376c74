"""What everybody in a world has in common: store, broker, the definitions they know, and the stage
where they act.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from surefoot.app.config import Settings
from surefoot.app.errors import RequestError, StoreUnavailable
from surefoot.app.saga.registry import Registry
from surefoot.app.simulation.stage import Actor
from surefoot.app.simulation.store import SimStore
from surefoot.app.testkit.broker import FakeBroker

EXPECTED = (
    RequestError,
    StoreUnavailable,
)  # what an actor may end with; anything else is a mistake of the engine


@dataclass
class Environment:
    """`errors`: what actors ended with and should not have, and what else was seen of them that
    must not be.
    """

    store: SimStore
    broker: FakeBroker
    settings: Settings
    registry: Registry
    errors: list[str] = field(default_factory=list)

    @property
    def db(self) -> Any:
        """What the engine takes for its database."""
        return self.store.db

    def act(
        self, actor: Actor, work: Callable[[], Any], ended: Callable[[Actor], None] | None = None
    ) -> Actor:
        """An actor does `work`, as far as it comes. `ended`: when it is done, however it ended."""

        def note(actor: Actor) -> None:
            if actor.error is not None and not isinstance(actor.error, EXPECTED):
                self.errors.append(
                    f"{actor.name} ended with {type(actor.error).__name__}: {actor.error} (at {actor.at})"
                )
            if ended is not None:
                ended(actor)

        actor.ended = note
        trouble = self.store.host
        return self.store.stage.start(
            actor, work, may_wait=trouble.down or trouble.answer_lost_next > 0
        )
