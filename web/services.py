"""What every request needs, made once when the process starts."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from flask import Flask, current_app
from sqlalchemy import Engine

from surefoot.app.access.signing import Signer
from surefoot.app.config import Settings
from surefoot.app.engine.jobs.intake import Entrance
from surefoot.app.saga.registry import Registry
from surefoot.app.store.views import Polls
from surefoot.web.publishing import Bell

EXTENSION = "surefoot"


@dataclass(frozen=True)
class AppServices:
    """`registry` is None where no saga's code is installed: then inputs are checked by the schema
    in the catalogue.

    `waiters`: places for requests that hold a thread to wait for a job's end; `entrance`: what
    makes a job goes through it.
    """

    settings: Settings
    db: Engine
    registry: Registry | None
    signer: Signer
    bell: Bell
    waiters: threading.Semaphore
    entrance: Entrance
    polls: Polls

    def own_digest(self, saga: str) -> str:
        """The digest of the definition that this process has; "" where it has none.

        A form is of it while no worker is there.
        """
        own = self.registry.get(saga) if self.registry is not None else None
        return own.digest if own is not None else ""


def init_app(app: Flask, services: AppServices) -> None:
    app.extensions[EXTENSION] = services


def services() -> AppServices:
    """The services of the application that serves this request."""
    found: AppServices = current_app.extensions[EXTENSION]
    return found
