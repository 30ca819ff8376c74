"""The first look at the store, made up for later where the store is away when the web server
starts.

A web server that ends because its store is away refuses connections when the store is back, and
gunicorn takes down the whole server when a child that it replaces cannot start. So it starts,
answers 503 with Retry-After, and looks again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog
from flask import Flask, request

from surefoot.app.errors import SettingsError, StoreUnavailable
from surefoot.web.api.problems import Problem

log = structlog.get_logger("surefoot.web")
LOOK_S = 1.0  # how often one request looks; the others are answered meanwhile
WITHOUT_STORE = frozenset({"health.livez", "health.healthz"})


class Opening:
    """`look` asks whether the store fits this code and writes down what this process has.

    Once it was done, nothing is asked.
    """

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look
        self._done = False
        self._looking = threading.Lock()
        self._not_before = float("-inf")
        self._refused = ""

    def at_start(self) -> None:
        """Raises: SettingsError for a store that is there and does not fit."""
        try:
            self._look()
            self._done = True
        except StoreUnavailable as error:
            log.warning("store_away_at_start", error=error.message)

    def install(self, app: Flask) -> None:
        """Before anything else of a request, for all that need the store."""
        app.before_request(self._before_request)

    def _before_request(self) -> None:
        if self._done or request.endpoint in WITHOUT_STORE:
            return
        if self._looking.acquire(blocking=False):
            try:
                self._make_up_for_it()
            finally:
                self._looking.release()
        if not self._done:
            if self._refused:
                raise Problem("unavailable", self._refused, headers={"Retry-After": "5"})
            raise StoreUnavailable

    def _make_up_for_it(self) -> None:
        if self._done or time.monotonic() < self._not_before:
            return
        try:
            self._look()
            self._done, self._refused = True, ""
            log.info("store_there")
        except StoreUnavailable:
            self._refused = ""
        except SettingsError as error:
            self._refused = error.message
            log.error("store_does_not_fit", error=error.message)
        self._not_before = time.monotonic() + LOOK_S
