"""What the bench told this process by its environment."""

from __future__ import annotations

import os
from pathlib import Path

from surefoot.app.bench.tally import FOLDER


def events() -> bool:
    """Whether Flower's events are on."""
    return os.environ.get("SUREFOOT_BENCH_EVENTS") == "1"


def broker_url() -> str:
    return os.environ["BROKER_URL"]


def store_url() -> str:
    return os.environ["DATABASE_URL"]


def tally_folder() -> Path | None:
    """Where counters are kept; None when nobody counts."""
    found = os.environ.get(FOLDER)
    return Path(found) if found else None
