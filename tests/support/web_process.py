"""The web server in a process of its own, under the very words that `surefoot up` starts it
with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from surefoot.app.supervisor import commands
from tests.support import warm
from tests.support.files import text_of
from tests.support.ports import free_port
from tests.support.running import ROOT
from tests.support.waiting import wait_until

READY_S = 60.0


@contextmanager
def web_process(store_url: str, home: Path, **told: str) -> Iterator[str]:
    """Its URL, when it is ready. `told`: settings by the name of their environment variable."""
    port = free_port()
    env = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "SUREFOOT_HOME": str(home),
        "DATABASE_URL": store_url,
        "SUREFOOT_ENV": "test",
        **told,
    }
    with (home / "web.said").open("wb") as said:
        words = commands.web("127.0.0.1", port)[2:]  # what follows `python -m`
        server = warm.start(words, env=env, said=said, cwd=ROOT)
    url = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        assert server.poll() is None, text_of(home / "web.said")
        try:
            return httpx.get(f"{url}/readyz", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    try:
        wait_until(ready, READY_S, what="gunicorn to be ready")
        yield url
    finally:
        server.terminate()
        server.wait(60)
