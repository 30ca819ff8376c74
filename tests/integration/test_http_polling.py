"""Polling is cheap and misses nothing: every visible change is another tag, an unchanged job is a 304 for one statement."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from flask import Flask
from sqlalchemy import Engine, event

from surefoot.app.access import keys
from surefoot.app.engine.worker import handle
from surefoot.app.errors import NotFound
from surefoot.app.saga.context import Context
from surefoot.app.saga.outcomes import NotYet, Rejected
from surefoot.app.store.ids import new_id
from surefoot.app.store.operation_writes import wait_for_version
from surefoot.app.store.session import transaction
from surefoot.app.store.views import Polls, job_revision, job_view, job_with_revision
from surefoot.web.services import EXTENSION
from tests.contract.views.shop import Caller, Shop

JOBS = "/api/v1/jobs"


@pytest.fixture
def shop_url(ready_url: str) -> str:
    return ready_url  # on each database


@pytest.fixture(autouse=True)
def _every_progress_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handle, "PROGRESS_EVERY_S", 0.0)


@contextmanager
def statements(db: Engine) -> Iterator[list[str]]:
    """Every statement sent meanwhile, but for those that begin a transaction. Seen at PostgreSQL's driver: polls go past the engine."""
    seen: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.startswith("BEGIN"):
            seen.append(statement)

    execute = psycopg.Cursor.execute

    def noting(cursor: Any, statement: str, *args: Any, **more: Any) -> Any:
        note(None, None, statement)
        return execute(cursor, statement, *args, **more)

    if db.dialect.name == "postgresql":
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(psycopg.Cursor, "execute", noting)
            yield seen
        return
    event.listen(db, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(db, "before_cursor_execute", note)


class Watcher:
    """Looks at a job as a polling client would, and checks at each look that view and tag change together."""

    def __init__(self, shop: Shop, job_id: str) -> None:
        self.shop, self.job_id = shop, job_id
        self.polls = Polls(shop.db)
        self.tags: dict[str, str] = {}
        self.looks = 0
        self.look()

    def look(self) -> str:
        view, revision = job_with_revision(self.shop.db, self.job_id, self.shop.tenant)
        assert job_revision(self.shop.db, self.job_id, self.shop.tenant).tag == revision.tag
        assert self.polls.look(self.job_id, self.shop.tenant) == revision
        # `let_pass` moves every time on record, which nothing else does: here it counts only whether there is one
        shown = {
            name: value is not None if name.endswith("_at") else value
            for name, value in view.items()
        }
        shown["steps"] = [
            {n: v is not None if n.endswith("_at") else v for n, v in step.items()}
            for step in view["steps"]
        ]
        text = json.dumps(shown, sort_keys=True)
        assert self.tags.setdefault(revision.tag, text) == text, (
            "the view has changed and its tag has not"
        )
        self.looks += 1
        return revision.tag


def follow(shop: Shop, job_id: str, watcher: Watcher, rounds: int = 60) -> None:
    """To its end, one message or sweep at a time, looking after each."""
    for _ in range(rounds):
        while shop.broker.waiting:
            shop.deliver(shop.broker.waiting.pop(0))
            watcher.look()
        if shop.state(job_id) in ("completed", "failed", "cancelled", "attention"):
            return
        shop.let_pass(61)
        shop.sweep()
        watcher.look()
    raise AssertionError(shop.operations(job_id))


# --- what changes the tag ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "story", ["lands", "declined", "parks", "fails and tries again", "asks a person", "cancelled"]
)
def test_given_job_when_it_moves_then_every_visible_change_is_another_tag(
    shop: Shop, story: str
) -> None:
    watched: list[Watcher] = []

    def progress(ctx: Context) -> str:
        for done in (1, 2):
            ctx.progress(done / 3, f"{done} of 3")
            watched[0].look()
        return "sent"

    script = shop.service.script
    script["reserve_stock", "action"].append(progress)
    match story:
        case "declined":
            script["charge_card", "action"].append(Rejected("the bank declined the card"))
        case "parks":
            script["charge_card", "action"] += [lambda ctx: NotYet(5), lambda ctx: NotYet(5)]
        case "fails and tries again":
            script["create_order", "action"] += [RuntimeError("503"), RuntimeError("503")]
        case "asks a person":
            script["send_receipt", "action"] += [RuntimeError("mail: 503")] * 9
        case "cancelled":
            script["refund_card", "undo"].append(RuntimeError("503"))
    job_id = shop.order()
    watched.append(Watcher(shop, job_id))
    if story == "cancelled":
        for step in ("create_order", "reserve_stock", "charge_card"):
            shop.deliver(shop.next(f"shop.{step}"))
            watched[0].look()
        shop.cancel(job_id)
        watched[0].look()
    follow(shop, job_id, watched[0])
    assert len(watched[0].tags) >= 8
    final = watched[0].look()
    assert watched[0].look() == final


def test_given_claim_and_progress_when_looked_at_then_each_is_another_tag(shop: Shop) -> None:
    tags: list[str] = []

    def look(_: Any = None) -> None:
        tags.append(job_revision(shop.db, job_id, shop.tenant).tag)

    def busy(ctx: Context) -> str:
        look()
        ctx.progress(0.5, "half")
        look()
        ctx.progress(0.5, "half still")
        look()
        return "made"

    shop.service.script["create_order", "action"].append(busy)
    job_id = shop.order()
    look()
    shop.deliver(shop.next())
    look()
    assert len(set(tags)) == len(tags) == 5


def test_given_parked_for_a_version_and_woken_when_looked_at_then_another_tag(shop: Shop) -> None:
    """Neither touches the job's row."""
    job_id = shop.order()
    watcher = Watcher(shop, job_id)
    first = watcher.look()
    operation = shop.operation(job_id, "create_order").id
    assert transaction(shop.db, lambda tx: wait_for_version(tx, operation, 5))
    second = watcher.look()
    shop.let_pass(6)
    shop.sweep()
    watcher.look()
    assert first != second
    assert watcher.looks == 4


def test_given_job_in_line_when_those_ahead_move_then_its_place_and_its_tag_change(
    shop: Shop,
) -> None:
    ahead = [shop.order() for _ in range(3)]
    job_id = shop.order()
    watcher = Watcher(shop, job_id)
    assert job_view(shop.db, job_id, None)["queue"]["position"] == 4
    for place in (3, 2, 1):
        shop.deliver(shop.next("shop.create_order"))
        watcher.look()
        assert job_view(shop.db, job_id, None)["queue"]["position"] == place
    assert len(watcher.tags) == 4
    assert len(ahead) == 3


def test_given_other_tenant_or_no_such_job_when_asked_for_its_revision_then_not_found(
    shop: Shop,
) -> None:
    job_id = shop.order()
    for wanted, tenant in (
        (job_id, new_id()),
        (new_id(), shop.tenant),
        ("x", shop.tenant),
        ("x", None),
    ):
        with pytest.raises(NotFound):
            job_revision(shop.db, wanted, tenant)
    assert job_revision(shop.db, job_id, None).state == "running"


# --- what it costs ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("point", ["in line", "half way", "ended"])
def test_given_unchanged_job_when_polled_then_304_for_one_statement_with_its_key(
    shop: Shop, app: Flask, point: str
) -> None:
    user, job_id = Caller(app, shop.key()), shop.order()
    if point == "half way":
        shop.deliver(shop.next())
    elif point == "ended":
        shop.drain()
    tag = user.get(f"{JOBS}/{job_id}").headers["ETag"]
    with statements(app.extensions[EXTENSION].db) as seen:
        answers = [user.get(f"{JOBS}/{job_id}", **{"If-None-Match": tag}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [304] * 3
    assert len(seen) == 3, seen
    assert [answer.headers["ETag"] for answer in answers] == [tag] * 3
    assert ("Retry-After" in answers[0].headers) == (point != "ended")
    assert "Prefer" in answers[0].headers["Vary"]


def test_given_a_poll_that_finds_nothing_new_then_it_is_counted_and_no_line_is_written(
    shop: Shop, app: Flask, capsys: pytest.CaptureFixture[str]
) -> None:
    user, job_id = Caller(app, shop.key()), shop.order()
    first = user.get(f"{JOBS}/{job_id}")
    capsys.readouterr()
    again = user.get(f"{JOBS}/{job_id}", **{"If-None-Match": first.headers["ETag"]})
    assert job_id not in "".join(capsys.readouterr())
    assert again.headers["X-Trace-Id"]
    user.get(f"{JOBS}/{job_id}")
    assert job_id in "".join(capsys.readouterr())


def test_given_long_job_when_polled_then_still_one_statement_that_an_index_serves(
    shop: Shop, app: Flask
) -> None:
    for _ in range(30):
        shop.order()
    job_id = shop.order()
    with statements(shop.db) as seen:
        job_revision(shop.db, job_id, shop.tenant)
    assert len(seen) == 1
    if shop.db.dialect.name == "sqlite":
        raw = shop.db.raw_connection()
        plan = [
            row[3]
            for row in raw.cursor().execute(
                f"EXPLAIN QUERY PLAN {seen[0]}", [None] * seen[0].count("?")
            )
        ]
        raw.close()
        scans = [
            line
            for line in plan
            if line.startswith("SCAN") and line.split()[1] in ("j", "o", "q", "f", "k")
        ]
        assert [line for line in scans if "ix_operations" not in line] == [], (
            plan
        )  # what is ready has a partial index of its own


def test_given_revoked_key_when_it_polls_then_refused_at_once(shop: Shop, app: Flask) -> None:
    key_id, key = keys.create(shop.db, "default", "user", "short")
    user, job_id = Caller(app, key), shop.order()
    tag = user.get(f"{JOBS}/{job_id}").headers["ETag"]
    assert user.get(f"{JOBS}/{job_id}", **{"If-None-Match": tag}).status_code == 304
    keys.revoke(shop.db, key_id)
    for headers in ({"If-None-Match": tag}, {}, {"Prefer": "wait=5"}, {"If-None-Match": '"other"'}):
        assert user.get(f"{JOBS}/{job_id}", **headers).status_code == 401
    assert user.get(f"{JOBS}/{new_id()}", **{"If-None-Match": tag}).status_code == 401


def test_given_key_of_another_tenant_when_it_polls_with_the_tag_then_404(
    shop: Shop, app: Flask
) -> None:
    user, other, job_id = (
        Caller(app, shop.key()),
        Caller(app, shop.key(tenant="other")),
        shop.order(),
    )
    tag = user.get(f"{JOBS}/{job_id}").headers["ETag"]
    for _ in range(2):
        assert other.get(f"{JOBS}/{job_id}", **{"If-None-Match": tag}).status_code == 404
        assert other.get(JOBS).status_code == 200


@pytest.mark.parametrize("condition", ["{tag}", "W/{tag}", '"x", {tag}', "*"])
def test_given_any_form_of_the_condition_when_it_names_the_tag_then_304(
    shop: Shop, app: Flask, condition: str
) -> None:
    user, job_id = Caller(app, shop.key()), shop.order()
    tag = user.get(f"{JOBS}/{job_id}").headers["ETag"]
    assert (
        user.get(f"{JOBS}/{job_id}", **{"If-None-Match": condition.format(tag=tag)}).status_code
        == 304
    )


def test_given_long_poll_when_nothing_changes_then_304_after_it(shop: Shop, app: Flask) -> None:
    user, job_id = Caller(app, shop.key()), shop.order()
    tag = user.get(f"{JOBS}/{job_id}").headers["ETag"]
    began = time.monotonic()
    answer = user.get(f"{JOBS}/{job_id}", **{"If-None-Match": tag, "Prefer": "wait=1"})
    assert (answer.status_code, answer.headers["Preference-Applied"]) == (304, "wait=1")
    assert time.monotonic() - began >= 1


def test_given_long_poll_when_the_job_ends_meanwhile_then_200_with_its_end(
    shop: Shop, app: Flask
) -> None:
    user, job_id = Caller(app, shop.key()), shop.order()
    worker = threading.Thread(target=shop.drain)
    worker.start()
    answer = user.get(f"{JOBS}/{job_id}", Prefer="wait=10")
    worker.join()
    assert (answer.status_code, answer.get_json()["state"], "Retry-After" in answer.headers) == (
        200,
        "completed",
        False,
    )
