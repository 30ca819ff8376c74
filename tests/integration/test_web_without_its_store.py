"""Web starts while its store is away, answers 503, and is ready when the store is back; /healthz asks whether things work."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask

from surefoot.app.config import Settings
from surefoot.app.delivery import trial
from surefoot.app.engine.worker import leases
from surefoot.app.engine.worker.leases import WorkerProcess
from surefoot.app.errors import SettingsError, StoreUnavailable
from surefoot.app.store.leases import acquire
from surefoot.app.store.views.health import RELAY
from surefoot.web import opening
from surefoot.web.factory import create_app
from surefoot.web.services import EXTENSION
from tests.contract.views.shop import GOOD, Caller, Shop
from tests.support.ports import free_port
from tests.support.stores import migrate

SECRET = "s" * 32


def web_on(url: str) -> Flask:
    app = create_app(Settings(env="test", database_url=url, secret=SECRET))
    app.testing = True
    return app


def end(app: Flask) -> None:
    app.extensions[EXTENSION].bell.close()
    app.extensions[EXTENSION].db.dispose()


def test_given_postgresql_that_is_away_when_web_starts_then_it_answers_503_with_retry_after() -> (
    None
):
    app = web_on(f"postgresql://me@127.0.0.1:{free_port()}/none")
    nobody = Caller(app, None)
    for answer in (nobody.get("/readyz"), nobody.get("/api/v1/jobs"), nobody.get("/")):
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) >= 1
    assert nobody.get("/livez").status_code == 200
    health = nobody.get("/healthz")
    assert (health.status_code, health.get_json()["status"]) == (503, "down")
    end(app)


def test_given_a_store_that_comes_back_when_asked_then_ready_and_what_this_process_has_is_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "LOOK_S", 0.0)
    file = tmp_path / "store.sqlite"
    file.mkdir()  # what is there cannot be opened
    app = web_on(f"sqlite:///{file}")
    nobody = Caller(app, None)
    assert nobody.get("/readyz").status_code == 503
    file.rmdir()
    told = nobody.get("/readyz")
    assert (told.status_code, "db upgrade" in told.get_json()["detail"]) == (503, True), (
        "back, and older than this code"
    )
    migrate(f"sqlite:///{file}")
    assert nobody.get("/readyz").get_json() == {"status": "ready"}
    assert nobody.get("/healthz").get_json()["store"] == "ok"
    end(app)


def test_given_many_requests_when_the_store_is_away_then_one_of_them_looks_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks: list[int] = []

    def look() -> None:
        looks.append(1)
        raise StoreUnavailable

    app = Flask("web")
    gate = opening.Opening(look)
    gate.at_start()
    gate.install(app)
    app.register_error_handler(StoreUnavailable, lambda error: ("away", 503))
    client = app.test_client()
    assert {client.get("/").status_code for _ in range(20)} == {503}
    assert len(looks) == 2


def test_given_a_store_that_does_not_fit_when_web_starts_then_refused_as_before(
    tmp_path: Path,
) -> None:
    with pytest.raises(SettingsError, match="db upgrade"):
        web_on(f"sqlite:///{tmp_path / 'empty.sqlite'}")


def test_given_a_broker_that_takes_no_write_when_health_is_asked_often_then_degraded_and_it_was_asked_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def refuse(url: str, patience_s: float) -> None:
        asked.append(url)
        raise trial.Refused("OOM command not allowed when used memory > 'maxmemory'", us=False)

    monkeypatch.setattr(trial, "write", refuse)
    nobody = Caller(shop.web(broker_url="redis://127.0.0.1:1/0", health_seconds=600.0), None)
    answers = [nobody.get("/healthz").get_json() for _ in range(5)]
    assert {(one["status"], one["broker"]) for one in answers} == {("degraded", "refusing")}
    assert len(asked) == 1


def test_given_an_operation_that_lies_ready_when_health_is_asked_then_its_age_is_told(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "write", lambda url, patience_s: None)
    monkeypatch.setattr(
        "surefoot.web.api.health.health_view",
        lambda db: {"relay": "ok", "workers": 1, "idle_queues": 0},
    )
    nobody = Caller(shop.web(broker_url="redis://127.0.0.1:1/0", health_seconds=0.000001), None)
    assert nobody.get("/healthz").get_json()["status"] == "ok"
    shop.submit(input=GOOD)
    shop.let_pass(100)
    told = nobody.get("/healthz").get_json()
    assert (told["status"], told["oldest_ready_seconds"]) == ("ok", 100)
    shop.let_pass(100)
    told = nobody.get("/healthz").get_json()
    assert (told["status"], told["oldest_ready_seconds"] // 10) == ("degraded", 20)


def test_given_live_workers_that_consume_nothing_when_health_is_asked_then_degraded(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "write", lambda url, patience_s: None)
    nobody = Caller(shop.web(broker_url="redis://127.0.0.1:1/0"), None)
    acquire(shop.db, RELAY, "here:1:x", 60.0)
    leases.register_worker(
        shop.db,
        "b",
        WorkerProcess(host="here", pid=1, lanes=["mail", "orders"], digests=["d"], concurrency=2),
    )
    every = ("mail", "mail.undo", "orders", "orders.undo")

    def told(consuming: tuple[str, ...] | None, children: int | None) -> tuple[str, int]:
        leases.worker_seen(shop.db, "b", (), leases.AtWork(consuming, children))
        found = nobody.get("/healthz").get_json()
        return found["status"], found["idle_queues"]

    assert told(None, None) == ("ok", 0)  # it has not said yet
    assert told(every, 2) == ("ok", 0)
    assert told(every[:3], 2) == ("degraded", 1)
    assert told((), 2) == ("degraded", 4)
    assert told(every, 0) == ("degraded", 4)
    leases.register_worker(
        shop.db,
        "c",
        WorkerProcess(host="here", pid=2, lanes=["mail", "orders"], digests=["d"], concurrency=2),
    )
    assert told(every, 0) == ("ok", 0)  # another worker serves them
