"""Orders through `surefoot up` on a real RabbitMQ: workers are killed, the broker goes away, connections are closed."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.support.orders import Shop
from tests.support.processes import lives
from tests.support.rabbitmq_server import RabbitMQServer
from tests.support.running import Up
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
QUEUES_ARE_KEPT_S = 8.0
CARDS = ("tok_ok", "tok_ok", "tok_ok", "tok_declined")


@pytest.fixture
def shop(tmp_path: Path, rabbitmq_server: RabbitMQServer, fresh_postgres: str) -> Iterator[Shop]:
    up = Up(tmp_path / "home", BROKER_URL=rabbitmq_server.url, DATABASE_URL=fresh_postgres)
    try:
        shop = Shop(up.start())
        yield shop
        shop.close()
    finally:
        up.close()


def took_s(shop: Shop) -> float:
    """How long an order takes to be accepted."""
    began = time.monotonic()
    shop.order()
    return time.monotonic() - began


def test_given_orders_when_some_are_declined_then_all_land_and_the_books_agree(
    shop: Shop, rabbitmq_server: RabbitMQServer
) -> None:
    shop.orders(20)
    assert shop.land(200) == {"completed": 20}
    shop.orders(20, CARDS)
    assert shop.land(200) == {"completed": 35, "failed": 5}
    shop.audit()
    queues = rabbitmq_server.ctl("list_queues", "--quiet", "name", "type")
    assert "payments.undo\tquorum" in queues
    assert "celery_delayed" not in queues


def test_given_orders_under_way_when_workers_are_killed_then_all_land_and_the_books_agree(
    shop: Shop,
) -> None:
    for _ in range(3):
        shop.orders(8, CARDS)
        process = random.choice(
            wait_until(shop.workers, 60, what="a worker")
        )  # both may be on their way back
        with suppress(psutil.NoSuchProcess):  # its main process was the last one's
            process.kill()
        wait_until(lambda process=process: not lives(process.pid), 60, what="its end")
    states = shop.land(300)
    assert states.total() == 24
    shop.audit()


def test_given_orders_under_way_when_rabbitmq_is_stopped_and_comes_back_then_orders_are_taken_meanwhile_and_all_land(
    shop: Shop, rabbitmq_server: RabbitMQServer
) -> None:
    shop.orders(2)
    shop.land(200)
    # RabbitMQ 3.10 loses a quorum queue that is killed in its first seconds: it is there and answers nobody (docs/operate/install.md).
    made = time.monotonic()
    wait_until(
        lambda: time.monotonic() - made > QUEUES_ARE_KEPT_S,
        QUEUES_ARE_KEPT_S + 5,
        what="the queues to be on disk",
    )
    shop.orders(8, CARDS)
    rabbitmq_server.stop(kill=True)
    assert (
        statistics.median(took_s(shop) for _ in range(10)) < 2.0
    )  # one or another may be met by a pause of the machine
    rabbitmq_server.start()
    states = shop.land(300)
    assert states.total() == 20
    shop.audit()


def test_given_orders_under_way_when_the_broker_closes_every_connection_then_all_land(
    shop: Shop, rabbitmq_server: RabbitMQServer
) -> None:
    workers = {process.pid for process in shop.workers()}
    for _ in range(3):
        shop.orders(8, CARDS)
        rabbitmq_server.close_connections()
    states = shop.land(300)
    assert states.total() == 24
    shop.audit()
    mains = set()
    for process in shop.workers():
        with suppress(psutil.NoSuchProcess):  # a child that has been replaced just now
            mains |= {process.pid} if process.ppid() not in workers else set()
    assert mains <= workers, "a worker's main process ended"


def test_given_rabbitmq_comes_back_empty_when_jobs_are_queued_then_they_are_rung_again(
    shop: Shop, rabbitmq_server: RabbitMQServer
) -> None:
    shop.orders(10, CARDS)
    rabbitmq_server.stop(kill=True)
    rabbitmq_server.wipe()
    shop.orders(5)
    rabbitmq_server.start()
    assert shop.land(300).total() == 15
    shop.audit()
