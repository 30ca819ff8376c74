"""`python docs/make_picture.py [FILE]`: the picture of the README.

Starts everything in a temporary home, lets an order be undone, and takes the picture of its page.
It needs a Chromium of the system and playwright (`pip install -e .[test]`).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import sync_playwright

from surefoot.app.supervisor import ports, runfile

ROOT = Path(__file__).parents[1]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WORDS = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")
SIZE = {"width": 1180, "height": 900}
PATIENCE_S = 120.0
ORDER = {
    "customer": "Ada",
    "email": "ada@example.com",
    "sku": "apple",
    "quantity": 2,
    "amount_cents": 500,
}


def main(target: Path) -> None:
    """Write the picture. Everything that was started ends, and the home is gone."""
    with tempfile.TemporaryDirectory(prefix="surefoot-picture-") as folder:
        home = Path(folder)
        env = {
            **os.environ,
            "SUREFOOT_HOME": folder,
            "PYTHONPATH": str(ROOT),
            "SUREFOOT_PORT": str(ports.any_free()),
        }
        env["SUREFOOT_FLOWER_PORT"] = str(ports.any_free())
        with (home / "said").open("wb") as said:
            up = subprocess.Popen(
                [sys.executable, "-m", "surefoot.app.cli", "up"], env=env, stdout=said, stderr=said
            )
        try:
            _until(
                lambda: (
                    up.poll() is not None
                    or "Ctrl-C stops everything" in (home / "said").read_text()
                ),
                "surefoot up",
            )
            run = runfile.load(home)
            if run is None:
                raise SystemExit((home / "said").read_text())
            _take(run.web_url, (home / "api_key").read_text().strip(), target)
        finally:
            up.send_signal(signal.SIGINT)
            up.wait(60)


def _take(url: str, key: str, target: Path) -> None:
    client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=10)

    def order(card: str) -> str:
        return str(
            client.post("/api/v1/jobs", json={"saga": "order", "input": {**ORDER, "card": card}})
            .raise_for_status()
            .json()["id"]
        )

    def ended(job: str, state: str) -> Any:
        return _until(
            lambda: client.get(f"/api/v1/jobs/{job}").json()["state"] == state,
            f"the order to be {state}",
        )

    ended(order("tok_ok"), "completed")
    shown = order("tok_declined")
    ended(shown, "failed")
    binary = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if binary is None:
        raise SystemExit("no browser found: `sudo apt-get install -y chromium`")
    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=binary, args=list(WORDS))
        page = browser.new_page(viewport=SIZE)
        page.goto(f"{url}/sign-in?next=/jobs/{shown}")
        page.locator("input[name=key]").fill(key)
        page.locator("main button").first.click()
        page.wait_for_selector("[data-part=graph] svg")
        page.screenshot(path=target)
        browser.close()


def _until(condition: Callable[[], Any], what: str) -> Any:
    until = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        if time.monotonic() > until:
            raise SystemExit(f"waited {PATIENCE_S:g} s for {what}")
        time.sleep(0.1)
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "page.png")
