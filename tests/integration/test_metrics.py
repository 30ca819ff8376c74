"""/metrics as a scraper meets it: what stands in the store, what was counted, and that asking stays cheap."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Connection, delete, insert, text

from surefoot.app import gauges, metrics
from surefoot.app.cli import COMMANDS
from surefoot.app.cli.group import Commands, outcome
from surefoot.app.clock import after
from surefoot.app.engine.worker import quarantine
from surefoot.app.engine.worker.leases import WorkerProcess, register_worker
from surefoot.app.engine.worker.quarantine import Unrunnable
from surefoot.app.metrics import counters
from surefoot.app.saga.outcomes import Rejected
from surefoot.app.store.invariants import INVARIANTS, Scope, violations
from surefoot.app.store.tables import lock_waiters, locks
from surefoot.app.store.views import stats
from tests.contract.views.shop import GOOD, Caller, Shop
from tests.support.plans import first_plan, served


@pytest.fixture
def shop(ready_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setattr(gauges, "KEPT_S", 0.0)
    monkeypatch.setattr(gauges, "INVARIANTS_KEPT_S", 0.0)
    metrics.start(tmp_path)
    world = Shop(ready_url)
    yield world
    world.close()
    metrics.stop()


def scrape(caller: Caller) -> dict[tuple[str, ...], float]:
    answer = caller.get("/metrics")
    assert answer.status_code == 200, answer.get_data(as_text=True)
    families = list(text_string_to_metric_families(answer.get_data(as_text=True)))
    assert all(family.documentation for family in families)
    return {
        (s.name.removeprefix("surefoot_"), *s.labels.values()): s.value
        for family in families
        for s in family.samples
    }


def test_given_each_role_when_scraped_then_operators_only(shop: Shop, tmp_path: Path) -> None:
    app = shop.web(home=tmp_path)
    assert Caller(app, None).get("/metrics").status_code == 401
    assert Caller(app, shop.key("user")).get("/metrics").status_code == 403
    answer = Caller(app, shop.key("platform")).get("/metrics")
    assert answer.status_code == 200
    assert answer.content_type.startswith("text/plain")


def test_given_job_submitted_by_the_command_when_scraped_then_it_is_counted_as_any(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics.stop()  # a command is a process of its own
    monkeypatch.setenv("SUREFOOT_HOME", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", shop.url)
    shop.order()  # its definition is in the catalogue
    assert outcome(Commands(COMMANDS), ["submit", "shop", json.dumps(GOOD), "--key", "once"]) == 0
    assert outcome(Commands(COMMANDS), ["submit", "shop", json.dumps(GOOD), "--key", "once"]) == 0
    assert outcome(Commands(COMMANDS), ["jobs", "list"]) == 0
    assert not metrics.started()
    assert (
        scrape(Caller(shop.web(home=tmp_path), shop.key("platform")))[
            "jobs_submitted_total", "shop"
        ]
        == 1
    )


def test_given_jobs_of_every_end_when_scraped_then_each_is_counted_once(
    shop: Shop, tmp_path: Path
) -> None:
    caller = Caller(shop.web(home=tmp_path), shop.key("platform"))
    assert shop.land(shop.order()) == "completed"
    shop.service.script["charge_card", "action"] = [Rejected("no"), OSError("later")]
    assert shop.land(shop.order()) == "failed"
    assert shop.land(shop.order()) == "completed"
    shop.service.script["charge_card", "action"] = [Rejected("no")]
    shop.service.script["reserve_stock", "undo"] = [OSError("never")] * 10
    asked = shop.order()
    assert shop.land(asked) == "attention"
    waiting = shop.order()
    quarantine.keep(shop.db, "rubbish", Unrunnable(queue="orders", body="x", headers={}))
    register_worker(
        shop.db,
        "b",
        WorkerProcess(host="here", pid=1, lanes=["orders", "mail"], digests=[], concurrency=3),
    )
    found = scrape(caller)
    assert found["jobs_ended_total", "completed", "shop"] == 2
    assert found["jobs_ended_total", "failed", "shop"] == 1
    assert found["jobs_submitted_total", "shop"] == 5
    assert found["operation_attempts_total", "action", "rejected", "shop", "charge_card"] == 2
    assert found["operation_attempts_total", "action", "retry", "shop", "charge_card"] == 1
    assert found["operation_attempts_total", "action", "completed", "shop", "charge_card"] == 2
    assert found["escalations_total", "undo", "shop", "reserve_stock", "exhausted"] == 1
    assert found["messages_quarantined_total",] == 1
    assert found["jobs_open", "shop", "attention"] == found["jobs_attention_unowned", "shop"] == 1
    assert found["jobs_open", "shop", "running"] == 1
    assert found["dead_letters_open", "yes", "shop", "exhausted"] == 1
    assert found["lane_depth", "action", "orders"] == 1
    assert found["workers_live", "mail"] == 1
    assert found["worker_slots", "orders"] == 3
    assert found["relay_active",] == 0
    assert all(found["invariant_violations", sentence] == 0 for sentence in INVARIANTS)
    assert not any(job in str(names) for names in found for job in (asked, waiting))
    shop.let_pass(100)
    assert scrape(caller)["lane_oldest_age_seconds", "action", "orders"] == pytest.approx(
        100, abs=20
    )


def test_given_jobs_of_every_end_when_scraped_then_each_is_timed_once_by_the_store_and_each_attempt_by_its_worker(
    shop: Shop, tmp_path: Path
) -> None:
    caller = Caller(shop.web(home=tmp_path), shop.key("platform"))
    shop.service.script["charge_card", "action"] = [OSError("later")]
    slow = shop.order()
    shop.let_pass(100)
    assert shop.land(slow) == "completed"
    shop.service.script["charge_card", "action"] = [Rejected("no")]
    assert shop.land(shop.order()) == "failed"
    stopped = shop.order()
    shop.cancel(stopped)
    assert shop.state(stopped) == "cancelled"
    found = scrape(caller)
    for end in ("completed", "failed", "cancelled"):
        assert (
            found["job_duration_seconds_count", end, "shop"]
            == found["jobs_ended_total", end, "shop"]
            == 1
        )
        assert found["job_duration_seconds_bucket", end, "+Inf", "shop"] == 1
    assert 100 < found["job_duration_seconds_sum", "completed", "shop"] < 1000
    assert found["job_duration_seconds_bucket", "completed", "60.0", "shop"] == 0
    attempts = {
        key[1:]: value for key, value in found.items() if key[0] == "operation_attempts_total"
    }
    timed = {
        key[1:]: value
        for key, value in found.items()
        if key[0] == "operation_duration_seconds_count"
    }
    assert timed == attempts and timed["action", "retry", "shop", "charge_card"] == 1
    assert timed["undo", "completed", "shop", "create_order"] == 1


NAME = re.compile(r"surefoot_[a-z]+(_[a-z]+)*")
LABELS = {
    "saga", "step", "kind", "outcome", "end", "why", "lane", "state", "version", "digest", "finding", "result", "duty",
    "invariant", "needs_person", "service", "method", "route", "status", "python", "le",
}  # fmt: skip


def test_given_everything_counted_when_scraped_then_names_units_labels_and_help_are_of_one_kind(
    shop: Shop, tmp_path: Path
) -> None:
    every = [
        one
        for one in vars(counters).values()
        if isinstance(one, metrics.Counter | metrics.Histogram)
    ]
    for one in every:
        labels = dict.fromkeys(one.labels, "x")
        one.observe(0.1, **labels) if isinstance(one, metrics.Histogram) else one.count(labels)
    shop.asked()
    shop.order()
    shop.sweep()
    answer = (
        Caller(shop.web(home=tmp_path), shop.key("platform")).get("/metrics").get_data(as_text=True)
    )
    families = list(text_string_to_metric_families(answer))
    assert len({family.name for family in families}) == len(families) >= len(every) + 15
    docs = (Path(__file__).parents[2] / "docs" / "operate" / "monitor.md").read_text()
    for family in families:
        shown = family.name + ("_total" if family.type == "counter" else "")
        assert NAME.fullmatch(family.name) and not re.search(
            r"_(ms|minutes|hours|count|sum|bucket|total)$", family.name
        ), family.name
        assert family.type in ("counter", "gauge", "histogram") and family.documentation.endswith(
            "."
        ), family.name
        assert family.type != "histogram" or family.name.endswith("_seconds")
        assert f"`{shown}" in docs or f"`{shown.removeprefix('surefoot_messages')}" in docs, (
            f"{shown} is not in the documents"
        )
        for sample in family.samples:
            assert set(sample.labels) <= LABELS, f"{family.name}: {set(sample.labels) - LABELS}"
            assert "age" not in family.name.split("_") or family.name.endswith("_seconds")


def test_given_locks_when_scraped_then_held_waited_for_and_since(
    shop: Shop, tmp_path: Path
) -> None:
    caller = Caller(shop.web(home=tmp_path), shop.key("platform"))
    held, waits = shop.order(), shop.order()
    with shop.db.begin() as tx:
        tx.execute(insert(locks).values(key="order:1", job_id=held))
        tx.execute(
            insert(lock_waiters).values(key="order:1", place=1, job_id=waits, until=after(60))
        )
    shop.let_pass(30)
    found = scrape(caller)
    assert (found["locks_held",], found["lock_waits",]) == (1, 1)
    assert found["lock_oldest_wait_seconds",] == pytest.approx(30, abs=20)
    assert next(value for key, value in found.items() if key[0] == "build_info") == 1
    with shop.db.begin() as tx:
        tx.execute(delete(lock_waiters))
    assert scrape(caller)["lock_oldest_wait_seconds",] == 0


def test_given_holder_that_lost_its_lease_when_it_ends_then_a_fence_refused(
    shop: Shop, tmp_path: Path
) -> None:
    shop.order()
    rung = shop.next()

    def too_late(_ctx: Any) -> str:
        shop.let_pass(60)
        shop.sweep()
        return "late"

    shop.service.script["create_order", "action"] = [too_late]
    shop.deliver(rung)
    found = scrape(Caller(shop.web(home=tmp_path), shop.key("platform")))
    assert found["fences_refused_total", "action", "shop", "create_order"] == 1
    assert found["operation_attempts_total", "action", "lost", "shop", "create_order"] == 1
    assert ("operation_attempts_total", "action", "completed", "shop", "create_order") not in found


def test_given_requests_when_scraped_then_by_route_and_never_by_path(
    shop: Shop, tmp_path: Path
) -> None:
    caller = Caller(shop.web(home=tmp_path), shop.key("platform"))
    job = caller.submit().get_json()["id"]
    caller.get(f"/api/v1/jobs/{job}")
    caller.get("/no/such/place")
    found = scrape(caller)
    assert found["request_duration_seconds_count", "GET", "/api/v1/jobs/<job_id>", "200"] == 1
    assert found["request_duration_seconds_count", "POST", "/api/v1/jobs", "202"] == 1
    assert found["request_duration_seconds_count", "GET", "none", "404"] == 1
    assert not any(job in str(names) for names in found)


def test_given_a_web_server_that_has_just_begun_when_scraped_then_counters_without_labels_stand_at_0(
    shop: Shop, tmp_path: Path
) -> None:
    found = scrape(Caller(shop.web(home=tmp_path), shop.key("platform")))
    assert {
        name: found.get((f"messages_{name}_total",))
        for name in ("published", "failed", "quarantined")
    } == {
        "published": 0,
        "failed": 0,
        "quarantined": 0,
    }


def test_given_a_row_that_breaks_an_invariant_when_asked_with_a_scope_then_found_in_it_and_not_beyond(
    shop: Shop,
) -> None:
    job = shop.order()
    shop.drain()
    with shop.db.begin() as tx:
        tx.execute(
            text("UPDATE surefoot_jobs SET seq = seq + 1 WHERE id = :id"),
            {"id": job if shop.db.dialect.name != "sqlite" else job.replace("-", "")},
        )
    broken = {"history has no gaps"}
    assert set(violations(shop.db, slack_s=5, bound_s=300)) == broken
    assert set(violations(shop.db, slack_s=5, bound_s=300, scope=Scope(newest_jobs=1))) == broken
    shop.land(shop.order())
    assert violations(shop.db, slack_s=5, bound_s=300, scope=Scope(newest_jobs=1)) == {}


LOOKS: dict[str, tuple[Callable[[Connection], Any], str]] = {
    "open jobs": (stats.open_states, "ix_jobs_open"),
    "definitions of open jobs": (stats.open_versions, "ix_jobs_open"),
    "lanes": (stats.lanes, "ix_operations_claim_deadline"),
    "letters": (stats.letters, "ix_dead_letters_|uq_dead_letters_open"),
    "workers": (stats.live_workers, "ix_workers_seen"),
    "locks": (stats.locks, "pk_lock_waiters|sqlite_autoindex_surefoot_lock_waiters"),
}


@pytest.mark.parametrize("look", LOOKS)
def test_given_what_a_scrape_asks_then_each_statement_is_served_by_an_index(
    shop: Shop, look: str
) -> None:
    run, index = LOOKS[look]
    sql, plan = first_plan(shop.db, run)
    assert served(plan, index), f"{sql}\n{plan}"


def test_given_scrapes_in_a_row_when_asked_then_the_store_is_asked_once() -> None:
    asked: list[int] = []
    kept = gauges.Kept(lambda: asked.append(1) or len(asked), 60.0)
    assert [kept.get() for _ in range(3)] == [1, 1, 1]
