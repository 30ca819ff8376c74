"""The patrol of reconciliation: begun by one worker, run in a process of its own, ended with its worker."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from sqlalchemy import update

from surefoot.app.clock import ago
from surefoot.app.store import migrate
from surefoot.app.store.session import open_engine
from surefoot.app.store.tables import periodic_runs
from surefoot.workers import boot, reconciliation
from surefoot.workers.reconciliation import ReconciliationTrigger


def test_given_a_round_that_is_due_when_workers_look_then_one_begins_it(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = open_engine(store_url)
    migrate.upgrade(db)
    monkeypatch.setattr(boot, "db", lambda: db)
    one, other = ReconciliationTrigger(None), ReconciliationTrigger(None)
    try:
        assert not one.is_ours(300), "the first comes a period after the store was made"
        with db.begin() as tx:
            tx.execute(update(periodic_runs).values(started_at=ago(301)))
        assert [one.is_ours(300), other.is_ours(300), one.is_ours(300)] == [True, False, False]
    finally:
        db.dispose()


@pytest.mark.parametrize(
    ("code", "halted", "most_s", "ended"),
    [("pass", False, 30, 0), ("while True: pass", False, 0.3, -9), (None, True, 30, -9)],
)
def test_given_a_patrol_when_it_ends_hangs_or_its_worker_stops_then_no_process_is_left(
    monkeypatch: pytest.MonkeyPatch, code: str | None, halted: bool, most_s: float, ended: int
) -> None:
    said: list[Any] = []

    def words(*given: str) -> tuple[str, ...]:
        said.append(given)
        return (sys.executable, "-c", code or "while True: pass")

    monkeypatch.setattr(reconciliation, "surefoot", words)
    walking = ReconciliationTrigger(None)
    if halted:
        walking.stop(None)
    assert walking.go(most_s) == ended
    assert said == [("reconcile", "--next", "--json")]
