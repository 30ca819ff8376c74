"""Flower keeps what it saw: also over a `kill -9`, and also what it was told before it was killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from surefoot.app.store.ids import operation_id
from tests.support.processes import lives
from tests.support.running import Up
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.timeout(600), pytest.mark.long]
CARD = "tok_ok"
ORDER = {
    "customer": "Ada",
    "email": "ada@example.com",
    "sku": "pear",
    "quantity": 1,
    "amount_cents": 900,
    "card": CARD,
}


@pytest.fixture
def up(tmp_path: Path, redis_executable: str) -> Iterator[Up]:
    stack = Up(tmp_path / "home", SUREFOOT_FLOWER_SAVE_SECONDS="0.5")
    yield stack
    stack.close()


def test_given_flower_has_seen_an_order_when_it_is_killed_then_it_comes_back_and_knows_it(
    up: Up,
) -> None:
    up.start()
    key = {"Authorization": f"Bearer {(up.home / 'api_key').read_text().strip()}"}
    flower = httpx.Client(
        base_url=up.run.flower_url,
        auth=("surefoot", (up.home / "flower_password").read_text().strip()),
        timeout=20,
    )

    def answered(path: str) -> httpx.Response | None:
        try:
            found = flower.get(path)
        except httpx.HTTPError:
            return None
        return found if found.status_code == 200 else None

    wait_until(lambda: answered("/api/workers"), 120, what="Flower")
    job = httpx.post(
        f"{up.run.web_url}/api/v1/jobs",
        headers=key,
        json={"saga": "order", "input": ORDER},
        timeout=20,
    ).json()["id"]

    def state() -> str:
        return str(
            httpx.get(f"{up.run.web_url}/api/v1/jobs/{job}", headers=key, timeout=20).json()[
                "state"
            ]
        )

    wait_until(lambda: state() == "completed", 120, what="the order")

    def told(step: str) -> dict[str, Any] | None:
        found = answered(f"/api/task/info/{operation_id(job, step, '', 'action')}")
        return found.json() if found is not None and found.json()["state"] == "SUCCESS" else None

    steps = ("create_order", "charge_card", "send_receipt")
    before = {
        step: wait_until(lambda step=step: told(step), 90, what=f"Flower to hear of {step}")
        for step in steps
    }
    assert all(
        CARD not in str(info) and ORDER["email"] not in str(info) for info in before.values()
    )
    args = {info["args"] for info in before.values()}
    assert len(args) == 1 and args.pop().endswith(f" {up.run.web_url}/jobs/{job}")
    page = httpx.get(f"{up.run.web_url}/jobs/{job}", headers=key, timeout=20).text
    assert f'href="{up.run.flower_url}/task/{before["charge_card"]["uuid"]}"' in page

    (process,) = [p for p in psutil.process_iter(["cmdline"]) if _is_flower_of(p, up.home)]
    saved = _written(up.home)
    wait_until(lambda: _written(up.home) > saved, 60, what="Flower to save once more")
    os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: not lives(process.pid), 30, what="Flower to be gone")
    after = {
        step: wait_until(lambda step=step: told(step), 120, what=f"Flower to remember {step}")
        for step in steps
    }
    same = ("name", "state", "args", "received", "started", "succeeded", "runtime", "root_id")
    assert [[after[step][field] for field in same] for step in steps] == [
        [before[step][field] for field in same] for step in steps
    ]
    flower.close()


def _written(home: Path) -> float:
    """When the last of its files was written."""
    times = []
    for path in (home / "flower").iterdir():
        with suppress(FileNotFoundError):  # Flower replaces what it saves
            times.append(path.stat().st_mtime)
    return max(times, default=0.0)


def _is_flower_of(process: psutil.Process, home: Path) -> bool:
    return any(word.startswith(f"--db={home}") for word in process.info["cmdline"] or ())
