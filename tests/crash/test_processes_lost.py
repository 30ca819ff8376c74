"""Whole processes are killed at an exact point: a worker with all its children, the relay, the web server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
import pytest

from surefoot.app.faults import Point
from tests.crash.lost import FAULTS, STANDING, UNDONE
from tests.support.faulty import FaultyShop, faulty_shop
from tests.support.waiting import wait_until

COUNTED = (Point.AFTER_CLAIM, Point.BEFORE_EFFECT, Point.AFTER_EFFECT)


def answer(shop: FaultyShop, key: str) -> int | None:
    """The status; None: the web server has gone away under the request, or is not there yet."""
    try:
        return shop.post(key=key).status_code
    except httpx.TransportError:
        return None


WEB_AND_RELAY = (
    "web.submit:crash@before_effect; web.submit:crash@after_commit; web.submit:crash@after_publish; web.submit:error@after_commit;"
    "order.reserve_stock:error@before_effect*2; relay.publish:crash@after_commit; relay.publish:crash@after_publish"
)


@pytest.fixture
def shop(tmp_path: Path, redis_executable: str) -> Iterator[FaultyShop]:
    with faulty_shop(tmp_path / "home", WEB_AND_RELAY) as shop:
        yield shop


@pytest.mark.timeout(400)
def test_given_web_and_relay_are_killed_around_commit_and_publish_then_one_key_made_one_job_and_each_step_ran_once(
    shop: FaultyShop,
) -> None:
    jobs = []
    for _ in range(3):
        key, answers = str(uuid4()), []
        wait_until(
            lambda answers=answers, key=key: (
                answers.append(answer(shop, key)) or answers[-1] == 202
            ),
            120,
            what="an answer",
        )  # type: ignore[misc]
        assert answers[0] in (None, 503), answers
        again = shop.post(key=key)
        assert (again.status_code, again.headers["Idempotent-Replayed"]) == (202, "true")
        jobs.append(again.json()["id"])
    assert [fault.fault for fault in shop.fired("web")] == [
        "web.submit:crash@before_effect",
        "web.submit:crash@after_commit",
        "web.submit:error@after_commit",
        "web.submit:crash@after_publish",
    ]
    assert {row.job_id for row in shop.operations()} == set(jobs)
    assert shop.land(120) == {"completed": 3}
    # The stock was refused twice for a while, so the relay rang it twice; killed before it had published and before it had marked.
    wait_until(
        lambda: len(shop.fired("relay")) >= 2, what="the relay's second fault"
    )  # it publishes, then it fires
    assert [fault.fault for fault in shop.fired("relay")] == [
        "relay.publish:crash@after_commit",
        "relay.publish:crash@after_publish",
    ]
    again = [row for row in shop.operations() if row.attempts > 1]
    assert {row.step for row in again} == {"reserve_stock"}
    assert sum(row.attempts - 1 for row in again) == 2
    shop.audit()


def kill_where_it_stands(
    shop: FaultyShop, within: timedelta, saga: str, point: Point, kind: str = "action"
) -> None:
    """SIGKILL to the main process of the worker whose child stands at the point; its children end with it."""
    job = shop.order(saga=saga)
    target = f"{saga}.charge_card" + ("" if kind == "action" else f".{kind}")
    stands = wait_until(
        lambda: [fired for fired in shop.fired() if fired.fault.startswith(f"{target}:delay")],
        120,
        what=f"{saga} to stand",
    )
    child = psutil.Process(stands[0].pid)
    main = child.parent()
    assert main is not None
    assert main in shop.workers()
    killed = datetime.now(UTC)
    main.kill()
    wait_until(
        lambda: shop.state(job) == ("completed" if kind == "action" else "failed"),
        120,
        what=f"{saga} to land",
    )
    row = shop.operation(job, "charge_card", kind)
    assert row.attempts == (2 if point in COUNTED else 1), saga
    later = [line for line in shop.history(job) if line.at > killed]
    if point in COUNTED:
        again = next(
            line
            for line in later
            if (line.event, line.step, line.kind) == ("attempt_lost", "charge_card", kind)
        )
        assert again.at - killed < within, saga
        assert again.attempt == 1
    wait_until(lambda: len(shop.workers()) >= 6, 120, what="both workers")


@pytest.mark.long
@pytest.mark.timeout(900)
def test_given_a_worker_is_killed_whole_while_a_charge_stands_at_a_point_then_another_goes_on_within_a_lease(
    tmp_path: Path, store_url: str, redis_executable: str
) -> None:
    with faulty_shop(
        tmp_path / "home", FAULTS, sagas="tests.crash.lost", database_url=store_url
    ) as shop:
        within = timedelta(seconds=shop.recovery_s())
        for point, saga in STANDING.items():
            kill_where_it_stands(shop, within, saga, point)
        kill_where_it_stands(shop, within, UNDONE, Point.AFTER_EFFECT, "undo")
        assert shop.land(120) == {"completed": len(STANDING) + 1, "failed": 1}
        shop.audit()
