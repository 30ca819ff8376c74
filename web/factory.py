"""The Flask application, assembled."""

from __future__ import annotations

import threading

import structlog
from flask import Flask, Response
from sqlalchemy import Engine

from surefoot.app.access.signing import Signer
from surefoot.app.config import Settings
from surefoot.app.config import settings as settings_of_this_process
from surefoot.app.delivery.producer import producer_app
from surefoot.app.delivery.publisher import Publisher
from surefoot.app.engine.jobs.dispatch import Publishes
from surefoot.app.engine.jobs.fairness import InTurn
from surefoot.app.engine.jobs.intake import Entrance
from surefoot.app.errors import DefinitionError
from surefoot.app.metrics.counters import show_from_the_start
from surefoot.app.rules.planner import Plan
from surefoot.app.saga.registry import Registry
from surefoot.app.store import catalogue, faults, schema_version
from surefoot.app.store.session import open_engine
from surefoot.app.store.views import Polls
from surefoot.app.texts import to_utf8
from surefoot.web import address, body, compression, files, logs, rates, security
from surefoot.web.api import (
    acts,
    attention,
    auth,
    document,
    effects,
    health,
    jobs,
    letters,
    locks,
    metrics,
    problems,
    quarantine,
    reconciliations,
    sagas,
    workers,
)
from surefoot.web.opening import Opening
from surefoot.web.pages import docs, errors, filters, places, sign_in
from surefoot.web.pages import home as home_page
from surefoot.web.pages import job as job_page
from surefoot.web.pages import jobs as jobs_page
from surefoot.web.pages import letters as letters_page
from surefoot.web.pages import problems as problem_pages
from surefoot.web.pages import sessions as sessions_page
from surefoot.web.publishing import Bell
from surefoot.web.services import EXTENSION, AppServices, init_app

log = structlog.get_logger("surefoot.web")
THREADS = 16  # that gunicorn is started with; each may need a connection
WAITING_SHARE = 4  # one thread in four may be held by `Prefer: wait`
FORM_FIELDS_MOST = 200


class Utf8Response(Response):
    """An answer that leaves whatever text is stored: half of a surrogate pair, which UTF-8 has no
    bytes for, is replaced.
    """

    def set_data(self, value: bytes | str) -> None:
        super().set_data(to_utf8(value) if isinstance(value, str) else value)


class NoBroker:
    """Stands in where no BROKER_URL is set: the relay publishes everything."""

    def publish(self, plan: Plan) -> bool:
        return False


def create_app(
    settings: Settings | None = None, *, publisher: Publishes | None = None, threads: int = THREADS
) -> Flask:
    """The application for these settings (default: this process's).

    A store that is away is not an error: requests are answered 503 until it is there. Raises:
    SettingsError for a secret that is missing or a store that does not fit this code;
    DefinitionError for a saga with a mistake.
    """
    settings = settings or settings_of_this_process()
    signer = Signer.from_settings(settings)
    pool_size = max(5, threads - 10 + 2)
    db = open_engine(
        settings.store_url,
        pool_size=pool_size,
        connect_timeout_s=2,
        silence_s=settings.store_silence_seconds,
    )
    registry = _registry(settings)
    opening = Opening(lambda: _fit_the_store(db, registry))
    opening.at_start()
    faults.arm(settings, lambda: db)
    show_from_the_start()
    app = Flask(__name__.rpartition(".")[0])
    app.response_class = Utf8Response
    app.config.update(
        MAX_CONTENT_LENGTH=settings.body_bytes,
        MAX_FORM_MEMORY_SIZE=settings.body_bytes,
        MAX_FORM_PARTS=FORM_FIELDS_MOST,
    )
    app.url_map.merge_slashes = False  # an address that is not ours is a 404, not a redirect
    publisher = publisher or _publisher(settings)
    bell = Bell(db, InTurn(publisher, db, settings), settings.unsent_seconds)
    if isinstance(publisher, Publisher):
        bell.warm(publisher.warm)
    waiters = threading.Semaphore(max(1, threads // WAITING_SHARE))
    init_app(
        app,
        AppServices(
            settings,
            db,
            registry,
            signer,
            bell,
            waiters,
            Entrance.of(db, settings, registry),
            Polls(db),
        ),
    )
    _assemble(app, opening)
    return app


def _fit_the_store(db: Engine, registry: Registry | None) -> None:
    schema_version.check(db)
    if registry is not None:
        catalogue.register(db, registry.all())


def _assemble(app: Flask, opening: Opening) -> None:
    logs.install(app)
    security.install(app)
    compression.install(app)
    files.install(app)
    address.install(app)
    opening.install(app)
    body.install(app)
    rates.install(app, app.extensions[EXTENSION].settings)
    auth.install(app)
    problems.install(app, errors.as_page)
    filters.install(app)
    places.install(app)
    api = (
        jobs,
        attention,
        effects,
        letters,
        quarantine,
        sagas,
        workers,
        locks,
        reconciliations,
        acts,
        health,
        metrics,
        document,
    )
    for part in (
        *api,
        docs,
        home_page,
        jobs_page,
        job_page,
        letters_page,
        sessions_page,
        sign_in,
        problem_pages,
    ):
        app.register_blueprint(part.routes)
    document.install(app)
    docs.install(app)


def _registry(settings: Settings) -> Registry | None:
    """The sagas whose code is here.

    What SUREFOOT_SAGAS names must be here; installed packages may be missing a part.
    """
    try:
        return Registry.load(settings.saga_modules)
    except DefinitionError as error:
        if settings.saga_modules or not isinstance(error.__cause__, ImportError):
            raise
        log.warning("sagas_not_loaded", error=str(error))
        return None


def _publisher(settings: Settings) -> Publishes:
    if not settings.broker_url:
        return NoBroker()
    return Publisher(producer_app(settings.broker_url, "web"), settings.publish_pause_seconds)
