"""`surefoot doctor`: each trouble is one line with its fix, and half a system down is no traceback."""

from __future__ import annotations

import json
import socket
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
from pydantic import BaseModel, ConfigDict
from sqlalchemy import text

from app.cli import COMMANDS
from app.cli.group import Commands, outcome
from app.config import Settings
from app.doctor import Finding, Level, examine
from app.engine.keep import quarantine, register_worker
from app.saga.context import Context
from app.saga.definition import Saga
from app.saga.outcomes import Rejected
from app.store import catalogue, leases
from tests.contract.views.shop import Shop
from tests.support.redis_server import RedisServer


class Film(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


def cut(ctx: Context, film: Film) -> None:
    """A step of a long lane."""


@pytest.fixture
def shop_url(ready_url: str) -> str:
    return ready_url  # on each database


def healthy(shop: Shop, lanes: tuple[str, ...] = ("orders", "inventory", "payments", "mail"), digests: list[str] | None = None) -> None:
    """A worker for everything, and a relay."""
    known = [saga.digest for saga in shop.registry.all()] if digests is None else digests
    register_worker(shop.db, f"boot {lanes}", host="here", pid=len(lanes), lanes=lanes, digests=known, concurrency=2)
    leases.acquire(shop.db, "relay", "here:1:x", 60.0)


def look(shop: Shop, home: Path, **more: Any) -> list[Finding]:
    settings = shop.settings.model_copy(update={"database_url": shop.url, "home": home, **more})
    return list(examine(lambda: settings))


def wrong(found: list[Finding]) -> dict[str, Level]:
    assert all(finding.fix for finding in found if finding.level != Level.OK)
    assert not any("could not be asked" in finding.said for finding in found), found
    return {finding.about: finding.level for finding in found if finding.level != Level.OK}


def test_given_all_is_well_when_looked_then_nothing_is_wrong(shop: Shop, tmp_path: Path, redis_server: RedisServer) -> None:
    healthy(shop)
    client = redis.Redis.from_url(redis_server.url)
    client.config_set("appendonly", "yes")
    client.close()
    assert wrong(look(shop, tmp_path, broker_url=redis_server.url)) == {}


def test_given_broker_that_forgets_when_looked_then_told(shop: Shop, tmp_path: Path, redis_server: RedisServer) -> None:
    healthy(shop)
    client = redis.Redis.from_url(redis_server.url)
    client.config_set("appendonly", "no")
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.close()
    found = wrong(look(shop, tmp_path, broker_url=redis_server.url))
    assert found == {"eviction": Level.FAIL, "persistence": Level.WARN}


def test_given_broker_and_store_down_when_looked_then_one_line_each(tmp_path: Path) -> None:
    for url in ("postgresql://u:geheim@127.0.0.1:1/x", f"sqlite:///{tmp_path / 'none.sqlite'}"):
        settings = Settings(database_url=url, broker_url="redis://u:geheim@127.0.0.1:1/0", home=tmp_path)
        found = list(examine(lambda settings=settings: settings))
        assert [f.about for f in found if f.level == Level.FAIL] == ["broker", "store"]
        assert "geheim" not in str(found)
    assert not (tmp_path / "none.sqlite").exists()


def test_given_store_that_is_empty_when_looked_then_migrate(sqlite_url: str, tmp_path: Path) -> None:
    Path(sqlite_url.removeprefix("sqlite:///")).touch()
    found = list(examine(lambda: Settings(database_url=sqlite_url, home=tmp_path)))
    assert [(f.about, f.fix.partition(";")[0]) for f in found if f.level == Level.FAIL] == [("migration", "surefoot db upgrade")]


def test_given_nobody_at_work_when_looked_then_told(shop: Shop, tmp_path: Path) -> None:
    shop.order()
    assert wrong(look(shop, tmp_path)) == {"workers": Level.FAIL, "versions": Level.FAIL, "relay": Level.FAIL}


def test_given_lanes_without_workers_when_looked_then_worse_where_work_waits(shop: Shop, tmp_path: Path) -> None:
    healthy(shop, ("inventory", "payments"))
    assert wrong(look(shop, tmp_path)) == {"lanes": Level.WARN}
    shop.order()
    found = [f for f in look(shop, tmp_path) if f.about == "lanes"]
    assert {(f.level, f.fix) for f in found} == {
        (Level.FAIL, "surefoot worker --lanes orders"),
        (Level.WARN, "surefoot worker --lanes mail"),
    }


def test_given_open_job_of_a_definition_that_nobody_has_when_looked_then_told(shop: Shop, tmp_path: Path) -> None:
    healthy(shop, digests=["0123456789abcdef"])
    assert wrong(look(shop, tmp_path)) == {}
    shop.order()
    assert wrong(look(shop, tmp_path)) == {"versions": Level.FAIL}


@pytest.mark.parametrize("knows", [False, True])
def test_given_long_lane_of_another_worker_when_looked_then_a_worker_that_does_not_know_it_is_named(
    shop: Shop, tmp_path: Path, *, knows: bool
) -> None:
    film = Saga("film", version=1, input=Film)
    film.step(lane="slow", undo=None, timeout="2h")(cut)
    catalogue.register(shop.db, [film])
    digests = [saga.digest for saga in shop.registry.all()]
    healthy(shop, digests=[*digests, film.digest] if knows else digests)
    register_worker(shop.db, "long", host="here", pid=77, lanes=["slow"], digests=[film.digest], concurrency=2)
    found = look(shop, tmp_path)
    assert wrong(found) == ({} if knows else {"time-outs": Level.WARN})
    assert knows or "pid 4 " in next(f.said for f in found if f.level == Level.WARN)


def test_given_relay_that_stopped_when_looked_then_told(shop: Shop, tmp_path: Path) -> None:
    healthy(shop)
    assert leases.release(shop.db, "relay", 1)
    assert wrong(look(shop, tmp_path)) == {"relay": Level.FAIL}


def test_given_what_needs_a_person_when_looked_then_told_where(shop: Shop, tmp_path: Path) -> None:
    shop.service.script["charge_card", "action"] = [Rejected("no")]
    shop.service.script["reserve_stock", "undo"] = [OSError("never")] * 10
    assert shop.land(shop.order()) == "attention"
    quarantine(shop.db, reason="rubbish", queue="orders", body="x", headers={})
    healthy(shop)
    found = look(shop, tmp_path)
    assert wrong(found) == {"dead letters": Level.WARN, "quarantine": Level.WARN}
    assert "surefoot attention list" in [f.fix for f in found]


def test_given_row_that_breaks_an_invariant_when_looked_then_its_sentence(shop: Shop, tmp_path: Path) -> None:
    shop.land(shop.order())
    healthy(shop)
    with shop.db.begin() as tx:
        tx.execute(text("UPDATE jobs SET seq = seq + 1"))
    (finding,) = [f for f in look(shop, tmp_path) if f.level != Level.OK]
    assert finding.about == "invariants"
    assert "history has no gaps" in finding.said


def test_given_writers_lock_held_by_somebody_frozen_when_looked_then_told(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["app.doctor.examine"], "PATIENCE_S", 0.2)
    shop = Shop(sqlite_url)
    try:
        healthy(shop)
        with shop.db.connect() as frozen, frozen.begin():
            found = look(shop, tmp_path)
        assert wrong(found) == {"writes": Level.FAIL}
    finally:
        shop.close()


def test_given_port_of_somebody_else_when_looked_then_the_setting_is_named(shop: Shop, tmp_path: Path) -> None:
    healthy(shop)
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
        (finding,) = [f for f in look(shop, tmp_path, port=port) if f.level != Level.OK]
    assert finding.level == Level.FAIL
    assert f"PORT={port}" in finding.said


def test_given_command_when_run_then_lines_or_json_and_1_where_one_fails(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SUREFOOT_HOME", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", shop.url)
    assert outcome(Commands(COMMANDS), ["doctor"]) == 1
    told = capsys.readouterr().out
    assert "FAIL  workers" in told
    assert "→ start one: surefoot worker" in told
    monkeypatch.setenv("LEASE_SECONDS", str(shop.settings.lease_seconds))
    monkeypatch.setenv("HEARTBEAT_SECONDS", "0.5")
    healthy(shop)
    assert outcome(Commands(COMMANDS), ["doctor", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is True
    assert set(answer["findings"][0]) == {"about", "level", "said", "fix"}
