"""What the engine is given by the process it runs in, once for all of its operations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from sqlalchemy import Engine

from surefoot.app.config import Settings
from surefoot.app.engine.jobs.dispatch import Publishes
from surefoot.app.saga.registry import Registry
from surefoot.app.store.host import Host, host_of

# Around the developer's code: ends it by an exception after so many seconds
Limit = Callable[[float], AbstractContextManager[None]]


@contextmanager
def no_limit(_seconds: float) -> Iterator[None]:
    """No alarm runs: time is virtual here, and a step that hangs is one of the faults."""
    yield


@dataclass(frozen=True)
class Runtime:
    """`registry`: the definitions that this process has; `publisher`: sends what becomes ready;
    `limit`: the soft limit around a step."""

    db: Engine
    settings: Settings
    registry: Registry
    publisher: Publishes
    limit: Limit = no_limit

    @property
    def host(self) -> Host:
        """Time, chance and new ids: those of the process that has opened the database."""
        return host_of(self.db)
