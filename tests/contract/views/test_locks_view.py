"""A lock is told wherever somebody may ask: why a job waits, what operators see, and the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from surefoot.app.cli import COMMANDS
from surefoot.app.cli.group import Commands, outcome
from surefoot.app.errors import RequestError
from surefoot.app.explain import why
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.locking import Shared
from surefoot.app.store.ids import is_id, new_id
from surefoot.app.store.tables import tenants
from surefoot.app.store.views import job_view, saga_view, short_name
from surefoot.app.store.views.locks import locks_view
from surefoot.web import create_app
from surefoot.web.api.shapes import locks as shapes
from tests.contract.views.shop import Caller, Shop
from tests.support.world import Participant, World


class Wanted(BaseModel):
    keys: list[str]


def keys_of(o: Any) -> list[str]:
    return [Shared(key[1:]) if key.startswith("*") else key for key in o.keys]


def moved(service: Participant) -> Saga[Any]:
    saga = Saga("move", version=1, input=Wanted, locks=keys_of, lock_wait="10m")

    @saga.step(lane="a", undo=None)
    def work(ctx: Any, o: Any) -> str:
        return service.act(ctx)

    @saga.step(lane="b", undo=None)
    def seal(ctx: Any, o: Any) -> str:
        return service.act(ctx)

    return saga


class Yard(Shop):
    """A shop whose saga takes locks."""

    def __init__(self, url: str) -> None:
        service = Participant()
        World.__init__(self, url, [moved(service)], service)
        self.url = url
        self.apps = []

    def begin(self, *keys: str) -> str:
        """Submit a job, and let its first step ask for its locks."""
        job_id = self.submit(input={"keys": list(keys)})
        rung = next(r for r in self.broker.waiting if r.message.job_id == job_id)
        self.broker.waiting.remove(rung)
        self.deliver(rung)
        return job_id


@pytest.fixture
def yard(ready_url: str) -> Iterator[Yard]:
    yard = Yard(ready_url)
    yield yard
    yard.close()


def test_given_two_in_line_when_asked_why_then_the_lock_its_holder_and_who_comes_first(
    yard: Yard,
) -> None:
    holder, first, second = yard.begin("order:A-17"), yard.begin("order:A-17", "b"), yard.begin("b")
    told = why(yard.db, first, yard.tenant)
    assert told["state"] == "waiting"
    assert told["sentence"].startswith(
        f"Waits for the lock order:A-17, held by job {short_name('move', holder)}, since "
    )
    assert told["sentence"].endswith(" UTC; 0 before it.")
    (wait,) = told["waiting_for"]
    assert (wait["kind"], wait["what"]) == ("lock", "the lock order:A-17")
    assert wait["since"] < wait["ends_by"]
    assert "goes on" in told["next"]["what"]
    behind = why(yard.db, second, yard.tenant)["sentence"]
    assert f"the lock b, which job {short_name('move', first)} takes first" in behind
    assert behind.endswith("; 1 before it.")
    assert job_view(yard.db, first, yard.tenant)["state"] == "waiting"
    yard.drain()
    assert why(yard.db, second, yard.tenant)["waiting_for"] == []


def other_tenant(yard: Yard) -> str:
    tenant = new_id()
    with yard.db.begin() as tx:
        tx.execute(tenants.insert().values(id=tenant, name="other"))
    return tenant


def test_given_a_holder_of_another_tenant_when_asked_why_then_it_is_not_named(yard: Yard) -> None:
    holder = yard.begin("*a")
    yard.tenant = other_tenant(yard)
    waiter = yard.begin("*a")
    told = str(why(yard.db, waiter, yard.tenant))
    assert "held by another job" in told
    assert short_name("move", holder) not in told
    assert short_name("move", holder) in str(why(yard.db, waiter, None))
    yard.drain()


def test_given_locks_when_listed_then_page_by_page_each_tenant_its_own_and_others_jobs_are_null(
    yard: Yard,
) -> None:
    mine, other = yard.tenant, other_tenant(yard)
    one = yard.begin("b", "a", "*b")
    yard.tenant = other
    two, foreign = yard.begin("*b"), yard.begin("z", "a")
    told = [
        (item["key"], item["tenant"], item["held_by"]["id"])
        for item in locks_view(yard.db, None)["items"]
    ]
    assert told == [
        ("a", "default", one),
        ("b", "default", one),
        ("b", None, one),
        ("a", "other", foreign),
        ("z", "other", foreign),
    ]
    seen = locks_view(yard.db, mine)["items"]
    assert [(item["key"], item["tenant"]) for item in seen] == [
        ("a", "default"),
        ("b", "default"),
        ("b", None),
    ]
    assert (seen[2]["waiting"], seen[2]["queue"][0]["job"]) == (1, None)
    theirs = locks_view(yard.db, other)["items"]
    assert [(item["key"], item["tenant"]) for item in theirs] == [
        ("b", None),
        ("a", "other"),
        ("z", "other"),
    ]
    assert (theirs[0]["held"], theirs[0]["held_by"], theirs[0]["queue"][0]["job"]["id"]) == (
        True,
        None,
        two,
    )
    yard.drain()
    assert locks_view(yard.db, None) == {"items": [], "next": None}


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_given_jobs_with_many_keys_when_paged_then_each_key_once_and_no_key_in_next(
    yard: Yard, limit: int
) -> None:
    for keys in (["a", "b", "c"], ["d"], ["e", "f"], ["a"]):
        yard.begin(*keys)
    found, after = [], ""
    while True:
        page = locks_view(yard.db, yard.tenant, after=after, limit=limit)
        found += [item["key"] for item in page["items"]]
        if page["next"] is None:
            break
        after = page["next"]
        assert is_id(after.partition(":")[0])
    assert found == list("abcdef")
    with pytest.raises(RequestError, match="a place in the list"):
        locks_view(yard.db, None, after="b")
    yard.drain()


def test_given_operator_when_asked_over_http_then_the_documented_shape_and_users_are_refused(
    sqlite_url: str,
) -> None:
    yard = Yard(sqlite_url)
    app = create_app(
        yard.settings.model_copy(update={"database_url": yard.url}), publisher=yard.broker
    )
    yard.apps.append(app)
    holder, waiter = yard.begin("a"), yard.begin("a")
    operator = Caller(app, yard.key("operator"))
    answer = operator.get("/api/v1/locks?limit=1")
    page = shapes.LockList.model_validate_json(answer.data)
    assert page.items[0].held_by is not None
    assert page.items[0].queue[0].job is not None
    assert (page.items[0].held_by.id, page.items[0].queue[0].job.id, page.items[0].waiting) == (
        holder,
        waiter,
        1,
    )
    assert (
        operator.get("/api/v1/locks", **{"If-None-Match": answer.headers["ETag"]}).status_code
        == 304
    )
    assert page.next is None
    assert operator.get("/api/v1/locks?cursor=a").get_json()["type"].endswith("/invalid-cursor")
    yard.begin("b")
    following = operator.get("/api/v1/locks?limit=1").get_json()["next"]
    assert [
        item["key"]
        for item in operator.get(f"/api/v1/locks?cursor={following}").get_json()["items"]
    ] == ["b"]
    assert operator.get("/api/v1/locks?order=up").status_code == 422
    assert Caller(app, yard.key()).get("/api/v1/locks").status_code == 403
    assert operator.get("/api/v1/sagas/move").get_json()["locks"] == {
        "on_locked": "wait",
        "wait_seconds": 600.0,
    }
    assert saga_view(yard.db, "move")["locks"] is not None
    yard.close()


def test_given_the_command_when_asked_for_locks_then_a_table_and_json(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    yard = Yard(sqlite_url)
    holder, waiter = yard.begin("order:A-17"), yard.begin("order:A-17")
    monkeypatch.setenv("DATABASE_URL", sqlite_url)
    assert outcome(Commands(COMMANDS), ["locks", "list"]) == 0
    told = capsys.readouterr().out
    assert "order:A-17" in told
    assert short_name("move", holder) in told
    assert short_name("move", waiter) in told
    assert outcome(Commands(COMMANDS), ["locks", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["items"][0]["waiting"] == 1
    assert outcome(Commands(COMMANDS), ["jobs", "why", waiter]) == 0
    assert "lock order:A-17" in " ".join(capsys.readouterr().out.split())
    yard.close()
