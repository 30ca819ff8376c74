"""`surefoot up` as a new user meets it: start, order, look, stop, start again; and the supervisor killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from tests.support.files import lines_of
from tests.support.hostile import HOSTILE
from tests.support.processes import lives
from tests.support.running import Up
from tests.support.waiting import in_time, wait_until

pytestmark = pytest.mark.timeout(300)
ORDER = {
    "customer": "Ada",
    "email": "ada@example.com",
    "sku": "pear",
    "quantity": 1,
    "amount_cents": 900,
    "card": "tok_ok",
}


@pytest.fixture
def up(tmp_path: Path, redis_executable: str) -> Iterator[Up]:
    stack = Up(tmp_path / "home", **HOSTILE)  # nobody else's variable moves us
    stack.anew = True
    yield stack
    stack.close()


def test_given_an_empty_home_when_everything_starts_then_the_printed_curl_makes_an_order_that_completes(
    up: Up,
) -> None:
    up.start()
    answer = json.loads(
        subprocess.run(up.curl, capture_output=True, text=True, check=True, timeout=30).stdout
    )
    job, trace = answer["id"], answer["trace_id"]
    wait_until(lambda: _job(up, job)["state"] == "completed", 60, what="the order to complete")
    wait_until(
        lambda: _told(up, "completed", trace) == 6,
        what="a line of each step, found by the request's trace",
    )
    assert _told(up, "request", trace) == 1
    books = up.json("ledger")
    assert books["consistent"], books["violations"]
    assert books["stock"]["apple"] == {"initial": 1000, "on_hand": 998, "reserved": 0, "sold": 2}

    submitted = up.command("submit", "order", json.dumps(ORDER), "--wait", "--tag", "second")
    assert "completed (done)" in submitted.stdout
    refused = up.command("submit", "order", json.dumps({**ORDER, "quantity": "3"}), check=False)
    assert refused.returncode == 2
    assert "/input/quantity" in refused.stderr
    assert "Traceback" not in refused.stderr

    rushed = up.json("rush", "--orders", "8")
    assert (rushed["landed"], rushed["states"]) == (True, {"completed": 6, "failed": 2})

    second = up.command("up", check=False)
    assert second.returncode == 1
    old_name, host, taken = second.stderr.strip().splitlines()
    assert "FLOWER_BASIC_AUTH is now SUREFOOT_FLOWER_BASIC_AUTH" in old_name
    assert "HOST=x86_64-conda-linux-gnu is not an address" in host
    assert f"pid {up.process.pid}" in taken

    wait_until(lambda: _answers(up.run.flower_url), 60, what="Flower")
    assert httpx.get(up.run.flower_url, timeout=30).status_code == 401
    user, password = "surefoot", (up.home / "flower_password").read_text().strip()
    tasks = wait_until(
        lambda: (
            httpx.get(
                f"{up.run.flower_url}/api/task/types", auth=(user, password), timeout=30
            ).status_code
            == 200
        ),
        what="its API",
    )
    assert tasks
    assert (
        httpx.post(
            f"{up.run.flower_url}/api/task/async-apply/order.create_order",
            auth=(user, password),
            timeout=30,
        ).status_code
        == 403
    )

    pids = up.pids()
    assert len(pids) > 8
    _is_private(up)
    assert up.stop() == 0
    assert not any(lives(pid) for pid in pids), up.said()
    stopped = [line.split("stopping ")[1] for line in up.said().splitlines() if "stopping " in line]
    assert stopped == ["web", "flower", "worker-1, worker-2", "relay", "bank", "broker"]

    up.start()
    assert up.json("jobs", "show", job)["state"] == "completed"
    assert up.stop(signal.SIGTERM) == 0


def test_given_a_job_under_way_when_the_supervisor_is_killed_then_nothing_is_left_and_the_next_start_carries_on(
    up: Up,
) -> None:
    up.start()
    job = _posted(up, card="tok_slow")
    wait_until(lambda: _state_of(up, job, "charge_card") == "running", 60, what="the slow charge")
    up.kill()
    up.start()
    assert up.command("jobs", "watch", job).returncode == 0
    books = up.json("ledger")
    assert books["consistent"], books["violations"]
    assert [order["charges"] for order in books["orders"]] == [1]


def test_given_everything_runs_when_one_part_after_another_is_killed_then_each_comes_back(
    up: Up,
) -> None:
    up.start()
    for part in ("broker", "relay", "web", "bank", "worker-1"):
        os.kill(up.pid_of(part), signal.SIGKILL)
        wait_until(lambda part=part: f"{part} is back" in up.said(), 120, what=f"{part} to be back")
    began = time.monotonic()
    assert "completed" in up.command("submit", "order", json.dumps(ORDER), "--wait").stdout
    assert in_time(time.monotonic() - began, 60)
    assert up.json("ledger")["consistent"]


SECRETS = (
    "SUREFOOT_API_KEY",
    "SUREFOOT_SECRET",
    "SUREFOOT_BROKER_URL",
    "SUREFOOT_DATABASE_URL",
    "FLOWER_BASIC_AUTH",
)
OWN = {  # part -> which of these it has
    "broker": (),
    "bank": SECRETS[3:4],
    "web": SECRETS[1:4],
    "relay": SECRETS[2:4],
    "worker-1": SECRETS[2:4],
    "worker-2": SECRETS[2:4],
    "flower": (SECRETS[2], SECRETS[4]),
}


def _is_private(up: Up) -> None:
    """Each process has the secrets of its part alone, a user of its own at the broker, and the home is its owner's."""
    users: set[str] = set()
    for part, own in OWN.items():
        process = psutil.Process(up.pid_of(part))
        for one in (process, *process.children(recursive=True)):
            told = one.environ()
            assert {name for name in SECRETS if name in told} == set(own), part
            users |= (
                {urlsplit(told["SUREFOOT_BROKER_URL"]).username or ""}
                if SECRETS[2] in own
                else set()
            )
    assert users == {"web", "relay", "worker", "flower"}
    loose = [
        path
        for path in (up.home, *up.home.rglob("*"))
        if not path.is_symlink() and path.stat().st_mode & 0o077
    ]
    assert [
        path for path in loose if path.parent.name != "metrics"
    ] == []  # of commands that were typed; the folder is closed
    kept = [
        (up.home / name).read_text().strip()
        for name in ("api_key", "flower_password", "secret", "broker_password")
    ]
    assert not any(secret in up.said() for secret in kept)
    assert [
        line
        for log in up.home.glob("log/*.log")
        for line in lines_of(log)
        if "permission" in line.lower()
    ] == []


def _told(up: Up, event: str, trace: str) -> int:
    """How many lines of the web server and the workers tell of such an event under this trace id."""
    logs = [*up.home.glob("log/web.log"), *up.home.glob("log/worker-*.log")]
    return sum(f"] {event} " in line and trace in line for log in logs for line in lines_of(log))


def _posted(up: Up, **changes: Any) -> str:
    """An order, over HTTP: on a busy machine a command ends only when the slow charge is over."""
    wanted = {"saga": "order", "input": {**ORDER, **changes}}
    url = f"{up.run.web_url}/api/v1/jobs"
    answer = httpx.post(url, json=wanted, headers=_key(up), timeout=30)
    return str(answer.raise_for_status().json()["id"])


def _job(up: Up, job: str) -> dict[str, Any]:
    """Asked over HTTP: a command of its own for each question would be a second of processor time each."""
    url = f"{up.run.web_url}/api/v1/jobs/{job}"
    return dict(httpx.get(url, headers=_key(up), timeout=30).json())


def _key(up: Up) -> dict[str, str]:
    return {"Authorization": f"Bearer {up.run.env['SUREFOOT_API_KEY']}"}


def _state_of(up: Up, job: str, step: str) -> str:
    return next(s["state"] for s in _job(up, job)["steps"] if s["name"] == step)


def _answers(url: str) -> bool:
    try:
        httpx.get(url, timeout=2)
    except httpx.HTTPError:
        return False
    return True
