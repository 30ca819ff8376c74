"""What a process has once to ask for jobs: the store, the way in, and a publisher that never waits
long.
"""

from __future__ import annotations

import getpass
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, make_url

from surefoot.app.access import tenants
from surefoot.app.config import Settings, settings
from surefoot.app.delivery.producer import producer_app
from surefoot.app.delivery.publisher import Publisher
from surefoot.app.engine.jobs.dispatch import publish_plan
from surefoot.app.engine.jobs.fairness import InTurn
from surefoot.app.engine.jobs.intake import Entrance
from surefoot.app.errors import SettingsError, UnknownSaga
from surefoot.app.rules.planner import Plan
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.registry import Registry
from surefoot.app.store import catalogue, definitions, schema_version
from surefoot.app.store.actors import Actor
from surefoot.app.store.session import asking, open_engine


@dataclass
class Client:
    """One for a process. Safe in threads."""

    settings: Settings
    db: Engine
    entrance: Entrance
    publisher: InTurn | None
    _known: dict[str, Registry] = field(default_factory=dict)
    _tenants: dict[str, str] = field(default_factory=dict)

    @classmethod
    def open(cls) -> Client:
        """Raises: SettingsError where there is no store, or one older than this code;
        StoreUnavailable.
        """
        chosen = settings()
        url = chosen.store_url
        file = make_url(url).database if url.startswith("sqlite") else None
        if file and not Path(file).exists():  # SQLite would make an empty one
            raise SettingsError(f"SUREFOOT_DATABASE_URL: there is no store at {file}")
        db = open_engine(url, silence_s=chosen.store_silence_seconds)
        try:
            schema_version.check(db)
        except BaseException:
            db.dispose()
            raise
        publisher = None
        if chosen.broker_url:
            app = producer_app(chosen.broker_url, "web")
            publisher = InTurn(Publisher(app, chosen.publish_pause_seconds), db, chosen)
        return cls(chosen, db, Entrance.of(db, chosen), publisher)

    def entrance_for(self, saga: Saga[Any] | str) -> Entrance:
        """The way in, with the code of this saga where the caller has it."""
        if isinstance(saga, str):
            return self.entrance
        if saga.digest not in self._known:
            self._known[saga.digest] = Registry([saga])
        return replace(self.entrance, registry=self._known[saga.digest])

    def make_known(self, saga: Saga[Any] | str) -> None:
        """Write the definition of a saga that no process has run yet, as a web server does at its
        start.
        """
        if isinstance(saga, str) or saga.digest in self._known:
            return
        with asking(self.db) as connection:
            there = definitions.current_definition(connection, saga.name, saga.digest)
        if there is None:
            catalogue.register(self.db, [saga])
        self._known[saga.digest] = Registry([saga])

    def tenant(self, name: str) -> str:
        """The id of this tenant; one of a new name is made."""
        if name not in self._tenants:
            self._tenants[name] = tenants.ensure(self.db, name)
        return self._tenants[name]

    def publish(self, plan: Plan) -> None:
        """Publish, or leave it to the relay."""
        if plan and self.publisher is not None:
            publish_plan(self.db, self.publisher, plan)

    def close(self) -> None:
        self.db.dispose()


_client: Client | None = None
_inherited: list[Client] = []  # kept: to collect them would close the sockets of the parent
_lock = threading.Lock()


def client() -> Client:
    """This process's client, opened at its first use. Raises: as `Client.open`."""
    global _client
    with _lock:
        if _client is None:
            _client = Client.open()
        return _client


def close() -> None:
    """Close the connections of this process; the next call opens others, by the settings of that
    time.
    """
    global _client
    with _lock:
        held, _client = _client, None
        settings.cache_clear()
    if held is not None:
        held.close()


def _after_fork() -> None:
    global _client, _lock
    _lock = threading.Lock()
    if _client is not None:
        _client.db.dispose(close=False)
        _inherited.append(_client)
        _client = None


os.register_at_fork(after_in_child=_after_fork)


def actor() -> Actor:
    """How history names the program that asks."""
    try:
        return Actor(f"python:{getpass.getuser()}"[:128])
    except (OSError, KeyError):  # a container without a name for its user
        return Actor("python:unknown")


@contextmanager
def told_by_name(saga: Saga[Any] | str) -> Iterator[None]:
    """A saga that the store does not know, in a transaction that may not make it known."""
    try:
        yield
    except UnknownSaga as error:
        name = saga if isinstance(saga, str) else saga.name
        said = f"{error.message} Start a worker with the code of {name}, or submit once without a transaction."
        raise UnknownSaga(said) from error
