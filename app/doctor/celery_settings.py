"""A question about Celery: are its settings ours, and which of other projects are here that we do
not read?
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from surefoot.app.config import Settings
from surefoot.app.delivery import celery_settings
from surefoot.app.delivery.celery_settings import OTHER_MODULE
from surefoot.app.delivery.producer import producer_app
from surefoot.app.doctor.findings import Finding, fail, ok
from surefoot.app.errors import SettingsError

NO_BROKER = "redis://127.0.0.1:1/0"  # the app is made and compared; nothing is sent with it


def celery(settings: Settings) -> Iterator[Finding]:
    """As a process of Surefoot finds them when it starts, the sagas imported."""
    try:
        producer_app(settings.broker_url or NO_BROKER)
    except SettingsError as error:
        yield fail("celery", error.message, "see what SUREFOOT_SAGAS imports")
        return
    others = [words.split()[1] for _, words in celery_settings.other_modules()]
    if name := os.environ.get(OTHER_MODULE):
        others.append(f"{OTHER_MODULE}={name}")
    unread = f"; {', '.join(dict.fromkeys(others))} of this project is not read" if others else ""
    yield ok("celery", f"its settings are Surefoot's own{unread}")
