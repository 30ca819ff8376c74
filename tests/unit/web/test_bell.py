"""Ringing never holds a request for long, whatever the broker does."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from sqlalchemy import Engine

from surefoot.app.config import Settings
from surefoot.app.rules.planner import Chain, Message, Plan
from surefoot.app.store.session import open_engine
from surefoot.app.store.tables import metadata
from surefoot.web.factory import create_app
from surefoot.web.publishing import RINGERS, WAIT_S, Bell
from surefoot.web.services import EXTENSION
from tests.support.stores import open_new_store
from tests.support.waiting import wait_until

PLAN: Plan = (
    Chain(
        (
            Message(
                "018f0000-0000-7000-8000-000000000000",
                "shop.a",
                "orders",
                "018f0000-0000-7000-8000-000000000001",
            ),
        )
    ),
)
HANGS_S = 60.0


class Frozen:
    """A publisher that hangs until it is let go, for much longer than any machine is late."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.asked = 0

    def publish(self, plan: Plan) -> bool:
        self.asked += 1
        return self.let_go.wait(HANGS_S)


@pytest.fixture
def db(sqlite_url: str) -> Iterator[Engine]:
    engine = open_engine(sqlite_url)
    metadata.create_all(engine)
    yield engine
    engine.dispose()


def test_given_frozen_broker_when_rung_then_request_goes_on_within_its_time(db: Engine) -> None:
    frozen = Frozen()
    bell = Bell(db, frozen, HANGS_S)
    began = time.monotonic()
    assert bell.publish_plan(PLAN) is False
    assert WAIT_S <= time.monotonic() - began < HANGS_S / 2
    assert WAIT_S <= 0.5
    frozen.let_go.set()
    bell.close(wait=True)


@pytest.mark.parametrize(("stale_s", "later"), [(HANGS_S, 1), (WAIT_S, 0)])
def test_given_every_ringer_hangs_when_rung_again_then_the_wait_is_the_same_and_a_stale_ring_is_the_relays(
    stale_s: float, later: int, db: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(monotonic=lambda: 0.0)
    monkeypatch.setattr("surefoot.web.publishing.time", clock)
    frozen = Frozen()
    bell = Bell(db, frozen, stale_s)
    first = [threading.Thread(target=bell.publish_plan, args=(PLAN,)) for _ in range(RINGERS)]
    for thread in first:
        thread.start()
    for thread in first:
        thread.join()
    wait_until(lambda: frozen.asked == RINGERS, what="every ringer to hang")
    began = time.monotonic()
    assert bell.publish_plan(PLAN) is False
    assert WAIT_S <= time.monotonic() - began < HANGS_S / 2
    clock.monotonic = lambda: HANGS_S / 2
    frozen.let_go.set()
    bell.close(wait=True)
    assert frozen.asked == RINGERS + later


def test_given_the_age_at_which_the_relay_sends_when_the_web_server_is_made_then_a_ring_is_stale_at_that_age(
    sqlite_url: str,
) -> None:
    open_new_store(sqlite_url).dispose()
    told = Settings(env="test", database_url=sqlite_url, unsent_seconds=7.0)
    app = create_app(told, publisher=Frozen())
    assert app.extensions[EXTENSION].bell.stale_s == 7.0
    app.extensions[EXTENSION].db.dispose()


def test_given_a_full_line_when_rung_then_false_at_once(
    db: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("surefoot.web.publishing.LINE", 1)
    frozen = Frozen()
    bell = Bell(db, frozen, HANGS_S)
    assert bell.publish_plan(PLAN) is False  # it hangs, and holds the only place
    assert bell.publish_plan(PLAN) is False
    frozen.let_go.set()
    bell.close(wait=True)
    assert frozen.asked == 1


def test_given_a_busy_moment_when_many_ring_then_all_leave(db: Engine) -> None:
    frozen = Frozen()
    bell = Bell(db, frozen, HANGS_S)
    many = [threading.Thread(target=bell.publish_plan, args=(PLAN,)) for _ in range(5 * RINGERS)]
    for thread in many:
        thread.start()
    frozen.let_go.set()
    for thread in many:
        thread.join()
    bell.close(wait=True)
    assert frozen.asked == 5 * RINGERS


def test_given_broker_that_answers_when_rung_then_true_and_nothing_to_ring_is_no_work(
    db: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("surefoot.web.publishing.WAIT_S", HANGS_S)
    frozen = Frozen()
    frozen.let_go.set()
    bell = Bell(db, frozen, HANGS_S)
    assert bell.publish_plan(PLAN) is True
    assert bell.publish_plan(()) is True
    assert frozen.asked == 1
    bell.close(wait=True)
