"""`surefoot doctor`: each trouble is one line with its fix, and half a system down is no traceback."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import redis
from pydantic import BaseModel, ConfigDict
from sqlalchemy import text

from surefoot.app.cli import COMMANDS
from surefoot.app.cli.group import Commands, outcome
from surefoot.app.config import Settings
from surefoot.app.doctor import Finding, Level, examine
from surefoot.app.doctor import broker as broker_part
from surefoot.app.doctor.broker import _version as broker_version
from surefoot.app.engine.worker import leases as keep
from surefoot.app.engine.worker import quarantine
from surefoot.app.engine.worker.leases import WorkerProcess, register_worker
from surefoot.app.engine.worker.quarantine import Unrunnable
from surefoot.app.saga.context import Context
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.outcomes import Rejected
from surefoot.app.store import catalogue, leases
from surefoot.app.supervisor import runfile
from tests.contract.views.shop import Shop
from tests.support.ports import free_port
from tests.support.rabbitmq_server import RabbitMQServer
from tests.support.redis_server import RedisServer


class Film(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


def cut(ctx: Context, film: Film) -> None:
    """A step of a long lane."""


@pytest.fixture
def shop_url(ready_url: str) -> str:
    return ready_url  # on each database


def healthy(
    shop: Shop,
    lanes: tuple[str, ...] = ("orders", "inventory", "payments", "mail"),
    digests: list[str] | None = None,
) -> None:
    """A worker for everything, and a relay."""
    known = [saga.digest for saga in shop.registry.all()] if digests is None else digests
    register_worker(
        shop.db,
        f"boot {lanes}",
        WorkerProcess(host="here", pid=len(lanes), lanes=lanes, digests=known, concurrency=2),
    )
    leases.acquire(shop.db, "relay", "here:1:x", 60.0)


def look(shop: Shop, home: Path, **more: Any) -> list[Finding]:
    settings = shop.settings.model_copy(update={"database_url": shop.url, "home": home, **more})
    return list(examine(lambda: settings))


GOOD_REDIS = broker_part.GOOD_REDIS


@pytest.fixture(autouse=True)
def _any_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Redis of this machine, or the bundled one, may be old: one test is about that."""
    monkeypatch.setattr(broker_part, "GOOD_REDIS", ((0, 0, 0),))


def wrong(found: list[Finding]) -> dict[str, Level]:
    assert all(finding.fix for finding in found if finding.level != Level.OK)
    assert not any("could not be asked" in finding.said for finding in found), found
    return {finding.about: finding.level for finding in found if finding.level != Level.OK}


def test_given_all_is_well_when_looked_then_nothing_is_wrong(
    shop: Shop, tmp_path: Path, redis_server: RedisServer
) -> None:
    healthy(shop)
    client = redis.Redis.from_url(redis_server.url)
    client.config_set("appendonly", "yes")
    client.close()
    assert wrong(look(shop, tmp_path, broker_url=redis_server.url)) == {}


def test_given_broker_that_forgets_when_looked_then_told(
    shop: Shop, tmp_path: Path, redis_server: RedisServer
) -> None:
    healthy(shop)
    client = redis.Redis.from_url(redis_server.url)
    client.config_set("appendonly", "no")
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.close()
    found = wrong(look(shop, tmp_path, broker_url=redis_server.url))
    assert found == {"eviction": Level.FAIL, "persistence": Level.WARN}


def of(about: str, home: Path, **more: Any) -> list[Finding]:
    """What is said of this, without a store."""
    settings = Settings(database_url=f"sqlite:///{home / 'none.sqlite'}", home=home, **more)
    return [finding for finding in examine(lambda: settings) if finding.about == about]


def test_given_broker_when_looked_then_nothing_is_left_in_it(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    (finding,) = of("broker", tmp_path, broker_url=redis_server.url)
    assert finding.level == Level.OK
    with redis_server.client() as client:
        told: Any = client.info("commandstats")
        assert told["cmdstat_set"]["calls"] == 1
        assert client.dbsize() == 0


def test_given_redis_that_is_full_when_looked_then_its_words_and_what_to_do(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    with redis_server.client() as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1")
    (finding,) = of("broker", tmp_path, broker_url=redis_server.url)
    assert finding.level == Level.FAIL
    assert "refuses writes: command not allowed when used memory > 'maxmemory'" in finding.said
    assert "raise maxmemory" in finding.fix


def test_given_redis_that_is_a_replica_when_looked_then_its_words_and_what_to_do(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    with redis_server.client() as client:
        client.replicaof("127.0.0.1", free_port())
    (finding,) = of("broker", tmp_path, broker_url=redis_server.url)
    assert finding.level == Level.FAIL
    assert "refuses writes: You can't write against a read only replica" in finding.said
    assert "primary" in finding.fix


def test_given_redis_that_lets_us_not_in_when_looked_then_its_words_without_the_password(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    with redis_server.client() as client:
        client.config_set("requirepass", "right")
    there = f"127.0.0.1:{redis_server.port}"
    for url, words in (
        (f"redis://:geheim@{there}/0", "invalid username-password"),
        (f"redis://{there}/0", "Authentication required"),
        (f"redis://:right@{there}/99", "out of range"),
    ):
        (finding,) = of("broker", tmp_path, broker_url=url)
        assert finding.level == Level.FAIL
        assert "answers, but refuses us: " in finding.said
        assert words in finding.said
        assert "geheim" not in str(finding)
        assert "correct BROKER_URL" in finding.fix


@pytest.mark.parametrize(
    ("told", "good"),
    [
        ({"redis_version": "6.2.14"}, False),
        ({"redis_version": "6.2.20"}, True),
        ({"redis_version": "7.0.15"}, True),
        ({"redis_version": "7.2.4"}, False),
        ({"redis_version": "8.4.0"}, True),
        ({"redis_version": "6.0.16"}, False),
        ({"redis_version": "7.2.4", "valkey_version": "8.1.4"}, True),
        ({"redis_version": "7.2.4", "valkey_version": "8.1.3"}, False),
        ({"redis_version": "255.255.255"}, True),
        ({}, True),
    ],
)
def test_given_a_version_of_redis_when_looked_then_one_with_known_faults_is_told(
    told: dict[str, str], good: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_part, "GOOD_REDIS", GOOD_REDIS)
    found = [(finding.level, finding.about) for finding in broker_version(told)]
    assert found == ([] if good else [(Level.WARN, "broker")])


@pytest.mark.long
@pytest.mark.timeout(300)
def test_given_rabbitmq_with_an_alarm_or_that_lets_us_not_in_when_looked_then_told_and_nothing_is_left(
    tmp_path: Path, rabbitmq_server: RabbitMQServer
) -> None:
    there = f"127.0.0.1:{rabbitmq_server.port}"
    (finding,) = of("broker", tmp_path, broker_url=rabbitmq_server.url)
    assert finding.level == Level.OK
    for url, words in (
        (f"amqp://guest:geheim@{there}//", "ACCESS_REFUSED"),
        (f"amqp://guest:guest@{there}/nowhere", "nowhere not found"),
    ):
        (finding,) = of("broker", tmp_path, broker_url=url)
        assert finding.level == Level.FAIL
        assert "answers, but refuses us: " in finding.said
        assert words in finding.said
        assert "geheim" not in str(finding)
    rabbitmq_server.ctl("set_vm_memory_high_watermark", "0.00001")
    (finding,) = of("broker", tmp_path, broker_url=rabbitmq_server.url)
    assert finding.level == Level.FAIL
    assert "answers, but refuses writes: " in finding.said
    assert "alarm" in finding.fix
    assert rabbitmq_server.ctl("list_queues", "--quiet", "name").split() in ([], ["name"])


@pytest.mark.parametrize("place", ["/proc/x", "a file/home"])
def test_given_home_that_cannot_be_made_when_looked_then_told(tmp_path: Path, place: str) -> None:
    (tmp_path / "a file").touch()
    (finding,) = of("home", tmp_path / place)
    assert finding.level == Level.FAIL
    assert "cannot be made in" in finding.said
    (finding,) = of("home", tmp_path / "not yet" / "home")
    assert finding.level == Level.OK
    assert list(tmp_path.iterdir()) == [tmp_path / "a file"]


def test_given_broker_and_store_down_when_looked_then_one_line_each(tmp_path: Path) -> None:
    for url in ("postgresql://u:geheim@127.0.0.1:1/x", f"sqlite:///{tmp_path / 'none.sqlite'}"):
        settings = Settings(
            database_url=url, broker_url="redis://u:geheim@127.0.0.1:1/0", home=tmp_path
        )
        found = list(examine(lambda settings=settings: settings))
        assert [f.about for f in found if f.level == Level.FAIL] == ["broker", "store"]
        assert "geheim" not in str(found)
    assert not (tmp_path / "none.sqlite").exists()


def test_given_store_that_is_empty_when_looked_then_migrate(
    sqlite_url: str, tmp_path: Path
) -> None:
    Path(sqlite_url.removeprefix("sqlite:///")).touch()
    found = list(examine(lambda: Settings(database_url=sqlite_url, home=tmp_path)))
    assert [(f.about, f.fix.partition(";")[0]) for f in found if f.level == Level.FAIL] == [
        ("migration", "surefoot db upgrade")
    ]


def test_given_nobody_at_work_when_looked_then_told(shop: Shop, tmp_path: Path) -> None:
    shop.order()
    assert wrong(look(shop, tmp_path)) == {
        "workers": Level.FAIL,
        "versions": Level.FAIL,
        "relay": Level.FAIL,
    }


def test_given_lanes_without_workers_when_looked_then_worse_where_work_waits(
    shop: Shop, tmp_path: Path
) -> None:
    healthy(shop, ("inventory", "payments"))
    assert wrong(look(shop, tmp_path)) == {"lanes": Level.WARN}
    shop.order()
    found = [f for f in look(shop, tmp_path) if f.about == "lanes"]
    assert {(f.level, f.fix) for f in found} == {
        (Level.FAIL, "surefoot worker --lanes orders"),
        (Level.WARN, "surefoot worker --lanes mail"),
    }


def test_given_a_lane_that_live_workers_do_not_consume_when_looked_then_told_and_worse_where_work_waits(
    shop: Shop, tmp_path: Path
) -> None:
    lanes = ("inventory", "mail", "orders", "payments")
    healthy(shop, lanes)
    consumed = tuple(queue for lane in lanes[:3] for queue in (lane, f"{lane}.undo"))
    keep.worker_seen(shop.db, f"boot {lanes}", (), keep.AtWork((*consumed, "payments"), 2))
    (one,) = [f for f in look(shop, tmp_path) if f.about == "lanes"]
    assert one.level == Level.WARN
    assert "no worker takes messages from payments.undo" in one.said
    keep.worker_seen(shop.db, f"boot {lanes}", (), keep.AtWork(consumed, 0))
    shop.order()
    found = {
        f.said.split(" from ")[1].split(",")[0]: f.level
        for f in look(shop, tmp_path)
        if f.about == "lanes"
    }
    assert found == {
        queue: Level.FAIL if queue == "orders" else Level.WARN
        for lane in lanes
        for queue in (lane, f"{lane}.undo")
    }


def test_given_an_operation_that_lies_ready_for_long_when_looked_then_told(
    shop: Shop, tmp_path: Path
) -> None:
    healthy(shop)
    shop.order()
    shop.let_pass(60)
    healthy(shop, ("inventory", "mail", "orders", "payments"))
    assert wrong(look(shop, tmp_path)) == {}
    assert wrong(look(shop, tmp_path, health_wait_seconds=50.0)) == {"waiting": Level.WARN}


def test_given_open_job_of_a_definition_that_nobody_has_when_looked_then_told(
    shop: Shop, tmp_path: Path
) -> None:
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
    register_worker(
        shop.db,
        "long",
        WorkerProcess(host="here", pid=77, lanes=["slow"], digests=[film.digest], concurrency=2),
    )
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
    quarantine.keep(shop.db, "rubbish", Unrunnable(queue="orders", body="x", headers={}))
    healthy(shop)
    found = look(shop, tmp_path)
    assert wrong(found) == {"dead letters": Level.WARN, "quarantine": Level.WARN}
    assert "surefoot attention list" in [f.fix for f in found]


def test_given_row_that_breaks_an_invariant_when_looked_then_its_sentence(
    shop: Shop, tmp_path: Path
) -> None:
    shop.land(shop.order())
    healthy(shop)
    with shop.db.begin() as tx:
        tx.execute(text("UPDATE surefoot_jobs SET seq = seq + 1"))
    (finding,) = [f for f in look(shop, tmp_path) if f.level != Level.OK]
    assert finding.about == "invariants"
    assert "history has no gaps" in finding.said


def test_given_writers_lock_held_by_somebody_frozen_when_looked_then_told(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["surefoot.app.doctor.examine"], "PATIENCE_S", 0.2)
    shop = Shop(sqlite_url)
    try:
        healthy(shop)
        with shop.db.connect() as frozen, frozen.begin():
            found = look(shop, tmp_path)
        assert wrong(found) == {"writes": Level.FAIL}
    finally:
        shop.close()


def test_given_port_of_somebody_else_when_looked_then_the_setting_is_named(
    shop: Shop, tmp_path: Path
) -> None:
    healthy(shop)
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
        (finding,) = [f for f in look(shop, tmp_path, port=port) if f.level != Level.OK]
    assert finding.level == Level.FAIL
    assert f"SUREFOOT_PORT={port}" in finding.said


@contextmanager
def server(body: bytes, name: str = "some server") -> Iterator[int]:
    """Its port. It says this to everybody, and calls itself that."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def version_string(self) -> str:
            return name

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Answer) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield httpd.server_port
        finally:
            httpd.shutdown()
            thread.join()


def test_given_one_port_for_both_when_looked_then_told_that_they_are_the_same(
    tmp_path: Path,
) -> None:
    port = free_port()
    found = of("ports", tmp_path, port=port, flower_port=port)
    assert [f.level for f in found] == [Level.FAIL, Level.OK]
    assert "SUREFOOT_FLOWER_PORT are the same" in found[0].said


def test_given_another_web_server_when_looked_then_it_is_neither_our_web_nor_flower(
    tmp_path: Path,
) -> None:
    with server(b"hello") as one, server(b"OK") as other:
        found = of("ports", tmp_path, port=one, flower_port=other)
    assert [f.level for f in found] == [Level.FAIL, Level.FAIL]
    assert "not by web of this home" in found[0].said
    assert "not by Flower of this home" in found[1].said


def test_given_a_surefoot_when_looked_then_the_run_file_says_whose_it_is(tmp_path: Path) -> None:
    with server(b'{"status":"alive"}\n') as web, server(b"OK", "TornadoServer/6.5") as flower:
        found = of("ports", tmp_path, port=web, flower_port=flower)
        assert [f.level for f in found] == [Level.OK, Level.OK]
        assert all("or of another home" in f.said for f in found)
        urls = [f"http://127.0.0.1:{port}" for port in (web, flower)]
        runfile.save(tmp_path, runfile.RunFile(os.getpid(), *urls))
        found = of("ports", tmp_path, port=web, flower_port=flower)
        assert [(f.level, f.said) for f in found] == [
            (Level.OK, f"web answers at {urls[0]}"),
            (Level.OK, f"Flower answers at {urls[1]}"),
        ]
        runfile.save(
            tmp_path, runfile.RunFile(os.getpid(), "http://127.0.0.1:1", "http://127.0.0.1:2")
        )
        found = of("ports", tmp_path, port=web, flower_port=flower)
        assert [f.level for f in found] == [Level.FAIL, Level.FAIL]


def test_given_command_when_run_then_lines_or_json_and_1_where_one_fails(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SUREFOOT_HOME", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", shop.url)
    assert outcome(Commands(COMMANDS), ["doctor"]) == 1
    told = capsys.readouterr().out
    assert "FAIL  workers" in told
    assert "→ start one: surefoot worker" in told
    monkeypatch.setenv("SUREFOOT_LEASE_SECONDS", str(shop.settings.lease_seconds))
    monkeypatch.setenv("SUREFOOT_HEARTBEAT_SECONDS", "0.5")
    healthy(shop)
    assert outcome(Commands(COMMANDS), ["doctor", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is True
    assert set(answer["findings"][0]) == {"about", "level", "said", "fix"}
