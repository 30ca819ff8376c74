"""Asking every question, whatever is down."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from sqlalchemy import Engine

from surefoot.app.config import Settings
from surefoot.app.doctor import (
    broker,
    celery_settings,
    fleet,
    jobs,
    machine,
    neighbours,
    store,
)
from surefoot.app.doctor.findings import Finding, fail, ok
from surefoot.app.doctor.told import told
from surefoot.app.errors import SettingsError, StoreUnavailable
from surefoot.app.logs import hidden
from surefoot.app.store.session import open_engine
from surefoot.app.supervisor import additions

PATIENCE_S = 3.0  # for a lock of the store


def examine(read: Callable[[], Settings], *, every_job: bool = False) -> Iterator[Finding]:
    """Every finding, as soon as it is made.

    `read` gives the settings; `every_job`: ask the invariants about all jobs.

    Raises nothing: what cannot be asked is a finding.
    """
    try:
        settings = read()
    except SettingsError as error:
        yield fail("settings", error.message, "correct that environment variable")
        return
    yield ok("settings", "they fit each other")
    for ask in (
        machine.python,
        machine.sagas,
        told,
        machine.home,
        machine.web_and_flower,
        celery_settings.celery,
        broker.broker,
    ):
        yield from _guarded(ask.__name__, partial(ask, settings))
    for place in additions.questions():
        yield from _guarded(place, partial(additions.called, place, settings))
    try:
        db = open_engine(settings.store_url, pool_size=1, patience_s=PATIENCE_S)
    except Exception as error:  # a URL that no driver understands
        yield fail(
            "store",
            f"DATABASE_URL cannot be opened: {hidden(str(error)).splitlines()[0]}",
            "correct DATABASE_URL",
        )
        return
    try:
        yield from _of_store(settings, db, every_job)
    finally:
        db.dispose()


def _of_store(settings: Settings, db: Engine, every_job: bool) -> Iterator[Finding]:
    """One FAIL where the store is away, also when it goes away in between."""
    questions = (
        store.there,
        store.writable,
        store.clock,
        fleet.workers,
        fleet.versions,
        fleet.unreadable,
    )
    questions += (fleet.definitions, fleet.time_outs, fleet.relay, neighbours.neighbours_on_broker)  # type: ignore[assignment]
    questions += (
        partial(jobs.invariants, every_job=every_job),
        jobs.left_behind,
        jobs.letters,
        jobs.findings,
        jobs.quarantine,
    )  # type: ignore[assignment]
    for ask in questions:
        name = getattr(ask, "__name__", "invariants")
        try:
            yield from _guarded(name, partial(ask, settings, db))
        except store.NoStore as error:
            yield error.finding
            return
        except StoreUnavailable as error:
            yield fail("store", f"it went away meanwhile: {error.message}", "run this again")
            return


def _guarded(name: str, ask: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from ask()
    except (store.NoStore, StoreUnavailable):
        raise
    except Exception as error:
        told = hidden(f"{type(error).__name__}: {error}".splitlines()[0])
        yield fail(
            name.replace("_", " "),
            f"this could not be asked: {told}",
            "most likely a bug in Surefoot: report it",
        )
