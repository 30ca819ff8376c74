"""/metrics as a scraper meets it: what stands in the store, what was counted, and that asking stays cheap."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Connection, text

from app import gauges, metrics
from app.cli import COMMANDS
from app.cli.group import Commands, outcome
from app.engine import quarantine
from app.engine.invariants import INVARIANTS, Scope, violations
from app.engine.keep import register_worker
from app.saga.outcomes import Rejected
from app.store.views import standing
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
    return {(s.name.removeprefix("surefoot_"), *s.labels.values()): s.value for family in families for s in family.samples}


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


def test_given_jobs_of_every_end_when_scraped_then_each_is_counted_once(shop: Shop, tmp_path: Path) -> None:
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
    quarantine.keep(shop.db, reason="rubbish", queue="orders", body="x", headers={})
    register_worker(shop.db, "b", host="here", pid=1, lanes=["orders", "mail"], digests=[], concurrency=3)
    found = scrape(caller)
    assert found["jobs_ended_total", "completed", "shop"] == 2
    assert found["jobs_ended_total", "failed", "shop"] == 1
    assert found["jobs_submitted_total", "shop"] == 5
    assert found["operation_attempts_total", "action", "rejected", "shop", "charge_card"] == 2
    assert found["operation_attempts_total", "action", "retry", "shop", "charge_card"] == 1
    assert found["operation_attempts_total", "action", "completed", "shop", "charge_card"] == 2
    assert found["attention_asked_total", "undo", "shop", "reserve_stock", "exhausted"] == 1
    assert found["messages_quarantined_total",] == 1
    assert found["jobs_open", "shop", "attention"] == found["jobs_attention", "shop"] == 1
    assert found["jobs_open", "shop", "running"] == 1
    assert found["dead_letters_need_person", "shop", "exhausted"] == 1
    assert found["lane_depth", "orders"] == 1
    assert found["workers_live", "mail"] == 1
    assert found["worker_children", "orders"] == 3
    assert found["relay_active",] == 0
    assert all(found["invariant_violations", sentence] == 0 for sentence in INVARIANTS)
    assert not any(job in str(names) for names in found for job in (asked, waiting))
    shop.let_pass(100)
    assert scrape(caller)["lane_oldest_age_seconds", "orders"] == pytest.approx(100, abs=20)


def test_given_holder_that_lost_its_lease_when_it_ends_then_a_fence_refused(shop: Shop, tmp_path: Path) -> None:
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


def test_given_requests_when_scraped_then_by_route_and_never_by_path(shop: Shop, tmp_path: Path) -> None:
    caller = Caller(shop.web(home=tmp_path), shop.key("platform"))
    job = caller.submit().get_json()["id"]
    caller.get(f"/api/v1/jobs/{job}")
    caller.get("/no/such/place")
    found = scrape(caller)
    assert found["request_duration_seconds_count", "GET", "/api/v1/jobs/<job_id>", "200"] == 1
    assert found["request_duration_seconds_count", "POST", "/api/v1/jobs", "202"] == 1
    assert found["request_duration_seconds_count", "GET", "none", "404"] == 1
    assert not any(job in str(names) for names in found)


def test_given_a_web_server_that_has_just_begun_when_scraped_then_counters_without_labels_stand_at_0(shop: Shop, tmp_path: Path) -> None:
    found = scrape(Caller(shop.web(home=tmp_path), shop.key("platform")))
    assert {name: found.get((f"messages_{name}_total",)) for name in ("published", "failed", "quarantined")} == {
        "published": 0,
        "failed": 0,
        "quarantined": 0,
    }


def test_given_a_row_that_breaks_an_invariant_when_asked_with_a_scope_then_found_in_it_and_not_beyond(shop: Shop) -> None:
    job = shop.order()
    shop.drain()
    with shop.db.begin() as tx:
        tx.execute(
            text("UPDATE jobs SET seq = seq + 1 WHERE id = :id"), {"id": job if shop.db.dialect.name != "sqlite" else job.replace("-", "")}
        )
    broken = {"history has no gaps"}
    assert set(violations(shop.db, slack_s=5, bound_s=300)) == broken
    assert set(violations(shop.db, slack_s=5, bound_s=300, scope=Scope(newest_jobs=1))) == broken
    shop.land(shop.order())
    assert violations(shop.db, slack_s=5, bound_s=300, scope=Scope(newest_jobs=1)) == {}


LOOKS: dict[str, tuple[Callable[[Connection], Any], str]] = {
    "open jobs": (standing.open_states, "ix_jobs_open"),
    "definitions of open jobs": (standing.open_versions, "ix_jobs_open"),
    "lanes": (standing.lanes, "ix_operations_queue_by"),
    "letters": (standing.letters, "ix_dead_letters_|uq_dead_letters_open"),
    "workers": (standing.live_workers, "ix_workers_seen"),
}


@pytest.mark.parametrize("look", LOOKS)
def test_given_what_a_scrape_asks_then_each_statement_is_served_by_an_index(shop: Shop, look: str) -> None:
    run, index = LOOKS[look]
    sql, plan = first_plan(shop.db, run)
    assert served(plan, index), f"{sql}\n{plan}"


def test_given_scrapes_in_a_row_when_asked_then_the_store_is_asked_once() -> None:
    asked: list[int] = []
    kept = gauges.Kept(lambda: asked.append(1) or len(asked), 60.0)
    assert [kept.get() for _ in range(3)] == [1, 1, 1]
