"""The system's browser, for tests of the pages: none is downloaded."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WORDS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-sync",
)
PATIENCE_MS = 30_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser for a file of tests, which imports this fixture."""
    binary = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if binary is None:
        said = "no browser found: `sudo apt-get install -y chromium`"
        if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
            pytest.fail(said, pytrace=False)
        pytest.skip(said)
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as tool:
        found = tool.chromium.launch(executable_path=binary, args=list(WORDS))
        yield found
        found.close()
