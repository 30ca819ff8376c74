from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from surefoot.app.engine.worker import leases
from surefoot.app.engine.worker.leases import HeartbeatResult
from surefoot.app.store import catalogue
from surefoot.workers import boot, lease_renewer
from surefoot.workers.lease_renewer import LeaseRenewer


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """What the keeper asks of the store, instead of a store."""
    seen: dict[str, list[Any]] = {
        "beat": [],
        "register": [],
        "killed": [],
        "handed_back": [],
        "stopped": [],
    }
    monkeypatch.setattr(boot, "db", lambda: "db")
    monkeypatch.setattr(boot, "publisher", lambda: "publisher")
    monkeypatch.setattr(catalogue, "register", lambda db, sagas: None)
    monkeypatch.setattr(
        leases, "register_worker", lambda db, boot_id, worker: seen["register"].append(worker)
    )
    monkeypatch.setattr(
        leases, "worker_seen", lambda db, boot_id, digests, at_work: seen.get("known", [True])[0]
    )
    monkeypatch.setattr(
        leases, "worker_stopped", lambda db, boot_id: seen["stopped"].append(boot_id)
    )
    monkeypatch.setattr(
        leases,
        "release_on_shutdown",
        lambda db, publisher, boot_id: seen["handed_back"].append(boot_id),
    )
    monkeypatch.setattr(lease_renewer, "kill_child", lambda pid: seen["killed"].append(pid) or True)

    def renew(db: Any, settings: Any, boot_id: str, ids: list[str]) -> HeartbeatResult:
        seen["beat"].append(ids)
        return HeartbeatResult(len(ids), tuple(seen.get("overdue", [])))

    monkeypatch.setattr(leases, "renew_leases", renew)
    monkeypatch.setattr(lease_renewer, "active_operations", lambda: {"a": 10, "b": 11})
    return seen


@pytest.fixture
def one() -> LeaseRenewer:
    return LeaseRenewer(SimpleNamespace(pool=SimpleNamespace(num_processes=2)))


def test_given_running_operations_when_kept_then_exactly_these_are_renewed(
    one: LeaseRenewer, calls: dict[str, list[Any]]
) -> None:
    one.run_once()
    assert calls["beat"] == [["a", "b"]]
    assert calls["killed"] == []


def test_given_first_round_when_kept_then_the_worker_signs_on_once(
    one: LeaseRenewer, calls: dict[str, list[Any]]
) -> None:
    one.run_once()
    one.run_once()
    assert len(calls["register"]) == 1
    assert calls["register"][0].concurrency == 2


def test_given_register_that_has_forgotten_us_when_kept_then_the_worker_signs_on_again(
    one: LeaseRenewer, calls: dict[str, list[Any]]
) -> None:
    calls["known"] = [False]
    one.run_once()
    one.run_once()
    assert len(calls["register"]) == 2


def test_given_operation_past_its_hard_limit_when_kept_then_only_the_child_that_has_it_is_killed(
    one: LeaseRenewer, calls: dict[str, list[Any]]
) -> None:
    calls["overdue"] = [("a", 10, "why"), ("b", 99, "why"), ("gone", 12, "why")]
    one.run_once()
    assert calls["killed"] == [10]


def test_given_keeper_that_never_started_when_finished_then_nothing_is_written(
    one: LeaseRenewer, calls: dict[str, list[Any]]
) -> None:
    one.finish()
    assert calls["stopped"] == []


def test_given_started_keeper_when_finished_twice_then_it_signs_off_once(
    one: LeaseRenewer, calls: dict[str, list[Any]]
) -> None:
    one.start(SimpleNamespace(hub=None, pool=None))
    one.terminate(None)
    one.finish()
    assert calls["handed_back"] == [boot.BOOT]
    assert calls["stopped"] == [boot.BOOT]


def test_given_store_that_comes_and_goes_when_kept_then_one_line_for_each_change(
    one: LeaseRenewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    monkeypatch.setattr(
        lease_renewer,
        "log",
        type(
            "Log",
            (),
            {
                "warning": lambda _, e, **__: lines.append(e),
                "info": lambda _, e, **__: lines.append(e),
            },
        )(),
    )
    for reachable in (True, False, False, True, True):
        one._tell(reachable, OSError("away"))
    assert lines == ["store.unreachable", "store.reachable"]
