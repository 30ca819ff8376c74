"""No file can be written any more, by anybody of us: what was accepted waits, nobody is told 202 in vain, and all lands afterwards.

A limit on the size of files (RLIMIT_FSIZE of processes that run) stands in for a disk that is full: databases, logs and mails alike.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.support.faulty import FaultyShop, faulty_shop
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]
PARTS = ("web", "relay", "worker-1", "worker-2", "bank")


@pytest.fixture
def shop(tmp_path: Path, redis_executable: str) -> Iterator[FaultyShop]:
    with faulty_shop(tmp_path / "home", "", SUREFOOT_BANK_SLOW_SECONDS="2") as shop:
        yield shop


@contextmanager
def full(shop: FaultyShop) -> Iterator[None]:
    """Meanwhile no part can write to a file."""
    bound_all(shop, 0)
    try:
        yield
    finally:
        bound_all(shop, resource.RLIM_INFINITY)


def bound_all(shop: FaultyShop, most: int) -> None:
    for part in PARTS:
        leader = psutil.Process(shop.up.pid_of(part))
        for process in (leader, *leader.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):  # one of its children may be over by then
                process.rlimit(psutil.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))


def test_given_a_full_disk_when_orders_are_under_way_then_posts_are_refused_for_now_and_what_was_accepted_lands_once(
    shop: FaultyShop,
) -> None:
    cards = ("tok_ok", "tok_slow", "tok_declined")
    accepted = shop.orders(9, cards)
    wait_until(
        lambda: any(
            row.state == "running" and row.step == "charge_card" for row in shop.operations()
        ),
        30,
        what="a charge under way",
    )
    before = shop.states().total()
    with full(shop):
        refused = shop.post()
        assert refused.status_code == 503, refused.text
        assert int(refused.headers["Retry-After"]) >= 1
        assert shop.job(accepted[0])["id"] == accepted[0]  # what is there can be read
        open_before = set(shop.states())
        wait_until(lambda: shop.post().status_code == 503, 30, 1.0, what="a second refusal")
        assert set(shop.states()) == open_before
    assert shop.states().total() == before
    wait_until(
        lambda: shop.post(card="tok_ok").status_code == 202,
        60,
        what="an order to be accepted again",
    )

    assert shop.land(120) == {"completed": 7, "failed": 3}
    books = shop.audit()
    assert sum(order["charges"] - order["refunds"] for order in books["orders"]) == 7
    assert {row.state for row in shop.operations()} <= {
        "completed",
        "skipped",
        "dropped",
        "failed",
        "abandoned",
    }
