from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from surefoot.app.config import Settings
from surefoot.app.errors import StoreUnavailable
from surefoot.app.store import leases
from surefoot.workers import relay as relay_module
from surefoot.workers.relay import LEASE, Relay
from tests.support.stores import open_new_store
from tests.support.waiting import wait_until

SETTINGS = Settings(lease_seconds=60.0, heartbeat_seconds=0.2, sweep_seconds=0.05)
HASTY = SETTINGS.model_copy(update={"lease_seconds": 0.5})  # of a relay whose lease is to lapse


class Sweeps:
    """Stands for the sweeper; counts, and fails as told."""

    def __init__(self) -> None:
        self.rounds = self.turns = 0
        self.held_back = False
        self.error: Exception | None = None

    def run_once(self) -> dict[str, int]:
        self.rounds += 1
        if self.error:
            raise self.error
        return {}

    def take_turns(self) -> int:
        self.turns += 1
        return 1


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Engine]:
    engine = open_new_store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    yield engine
    engine.dispose()


def relay(db: Engine, holder: str, settings: Settings = SETTINGS) -> Relay:
    return Relay(db, Sweeps(), settings, holder)  # type: ignore[arg-type]


def sweeps(one: Relay) -> int:
    return one.sweeper.rounds  # type: ignore[attr-defined,no-any-return]


def test_given_two_relays_when_they_run_then_one_sweeps_and_the_other_stands_by(db: Engine) -> None:
    first, second = relay(db, "first"), relay(db, "second")
    assert first.run_once()
    assert not second.run_once()
    assert first.run_once()
    assert (sweeps(first), sweeps(second)) == (2, 0)


def test_given_active_relay_that_stops_when_released_then_the_standby_takes_over_at_once(
    db: Engine,
) -> None:
    first, second = relay(db, "first"), relay(db, "second")
    for _ in range(
        20
    ):  # also within the same millisecond, which is as finely as SQLite tells the time
        assert first.run_once()
        first.release()
        assert second.run_once()
        second.release()


def test_given_active_relay_that_dies_when_its_lease_lapses_then_the_standby_takes_over(
    db: Engine,
) -> None:
    first, second = relay(db, "first", HASTY), relay(db, "second")
    assert first.run_once()
    wait_until(second.run_once, what="the lease to lapse")
    assert sweeps(second) == 1


def test_given_relay_that_slept_through_its_lease_when_it_wakes_then_it_does_not_sweep(
    db: Engine,
) -> None:
    first, second = relay(db, "first", HASTY), relay(db, "second")
    assert first.run_once()
    wait_until(second.run_once, what="the other to take over")
    assert not first.run_once()
    assert sweeps(first) == 1
    first.release()  # has nothing to give up: the other keeps its lease
    assert second.run_once()
    assert leases.acquire(db, LEASE, "third", 1.0) is None


def test_given_halt_when_running_then_it_ends_and_the_lease_is_free(db: Engine) -> None:
    one, halt = relay(db, "one"), threading.Event()
    thread = threading.Thread(target=one.run, args=(halt,))
    thread.start()
    wait_until(lambda: sweeps(one) >= 3, what="some rounds")
    halt.set()
    thread.join(30)
    assert not thread.is_alive()
    assert leases.acquire(db, LEASE, "another", 1.0) is not None


def test_given_store_that_is_away_when_running_then_it_goes_on_with_one_line_and_no_hot_loop(
    db: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    log = type(
        "Log",
        (),
        {
            name: (lambda _, event, **__: lines.append(event))
            for name in ("info", "warning", "error")
        },
    )()
    monkeypatch.setattr(relay_module, "log", log)
    one = relay(db, "one")
    one.sweeper.error = StoreUnavailable()  # type: ignore[attr-defined]
    assert [one._round() for _ in range(3)] == [relay_module.OUTAGE_PAUSE_S] * 3
    one.sweeper.error = None  # type: ignore[attr-defined]
    assert one._round() == SETTINGS.sweep_seconds
    assert [line for line in lines if line.startswith("relay.round")] == [
        "relay.round_failed",
        "relay.round_works",
    ]


def test_given_lanes_that_are_full_when_a_round_is_over_then_they_are_refilled_before_the_next(
    db: Engine,
) -> None:
    calm = SETTINGS.model_copy(update={"sweep_seconds": 30.0, "turn_seconds": 0.01})
    one, halt = relay(db, "first", calm), threading.Event()
    one.sweeper.held_back = True  # type: ignore[misc]
    running = threading.Thread(target=one.run, args=(halt,))
    running.start()
    stub: Sweeps = one.sweeper  # type: ignore[assignment]
    wait_until(lambda: stub.turns >= 3, what="turns between two rounds")
    assert sweeps(one) == 1
    halt.set()
    running.join(10)
