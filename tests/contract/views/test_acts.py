"""What people did, on both databases: written with the change, kept as it was written, and found
by job, actor and time.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, delete, select, text, update
from sqlalchemy.exc import DBAPIError

from surefoot.app.access import keys
from surefoot.app.engine.operators import assignment, decisions, redrive
from surefoot.app.engine.operators.redrive import RedrivePlan
from surefoot.app.engine.operators.resubmit import Asked as Again
from surefoot.app.engine.operators.resubmit import resubmit_job
from surefoot.app.engine.reconcile import findings
from surefoot.app.errors import Conflict
from surefoot.app.store import acts
from surefoot.app.store.actors import Actor
from surefoot.app.store.acts import Act, Asked
from surefoot.app.store.dead_letters import DeadLetterFilter
from surefoot.app.store.ids import new_id
from surefoot.app.store.session import reading, transaction
from surefoot.app.store.tables import acts as table
from surefoot.app.store.tables import reconciliations
from surefoot.app.store.views import history_view
from surefoot.app.store.views.acts import acts_view
from tests.contract.views.shop import GOOD, Shop
from tests.support.plans import PATHS, first_plan, served, sorts

KEY = "018f0000-0000-7000-8000-000000000001"
ADA = Actor("operator:ada", KEY)
BERT = Actor("cli:bert")


def written(shop: Shop, **asked: Any) -> list[dict[str, Any]]:
    """Acts, oldest first."""
    return acts_view(shop.db, Asked(**asked))[0][::-1]


def words(shop: Shop, **asked: Any) -> list[str]:
    return [one["act"] for one in written(shop, **asked)]


def failed(shop: Shop) -> str:
    shop.service.script["charge_card", "action"] = [RuntimeError("bank: 503")] * 5
    job = shop.order()
    assert shop.land(job) == "failed"
    return job


# --- what is written
# -------------------------------------------------------------------------------------------------
def test_given_decisions_of_people_when_made_then_act_and_history_name_key_and_reason(
    shop: Shop,
) -> None:
    job = shop.asked()
    (letter,) = shop.letters(job)
    assignment.take(shop.db, job, ADA)
    assignment.assign(shop.db, job, "carla", BERT)
    assignment.release(shop.db, job, ADA)
    decisions.waive(shop.db, letter.id, ADA, "the customer keeps it")
    found = written(shop, job_id=job)
    assert [one["act"] for one in found] == ["take", "assign", "release", "waive"]
    assert [one["key_id"] for one in found] == [KEY, None, KEY, KEY]
    assert found[-1] | {"id": "", "at": ""} == {
        "id": "", "at": "", "actor": "operator:ada", "key_id": KEY, "act": "waive",
        "job": job, "part_of": None,
        "object": {"kind": "letter", "id": letter.id}, "reason": "the customer keeps it",
        "details": {"step": "charge_card", "kind": "undo"}, "links": {"job": f"/api/v1/jobs/{job}"},
    }  # fmt: skip
    lines = {one["event"]: one["key_id"] for one in history_view(shop.db, job, None)["items"]}
    assert lines["waived"] == lines["released"] == KEY
    assert lines["submitted"] is None
    assert written(shop)[0]["details"] == {"owner": "operator:ada"}


def test_given_a_cancel_when_asked_many_times_then_one_act_and_a_machine_leaves_none(
    shop: Shop,
) -> None:
    job = shop.order()
    shop.cancel(job)  # by a plain name, as what goes on by itself says it
    assert words(shop) == []
    shop.drain()
    other = shop.order()
    shop.deliver(shop.next("shop.create_order"))
    for _ in range(3):
        decisions.cancel(shop.db, shop.settings, other, ADA)
    assert words(shop, job_id=other) == ["cancel"]


def test_given_submissions_when_accepted_then_history_names_the_key_and_no_act_is_needed(
    shop: Shop,
) -> None:
    job = shop.order(actor=ADA)
    assert history_view(shop.db, job, None)["items"][0]["key_id"] == KEY
    assert words(shop) == []


def test_given_a_change_that_fails_when_rolled_back_then_there_is_no_act(shop: Shop) -> None:
    job = failed(shop)
    resubmit_job(shop.entrance, job, Again(ADA, "again"))
    assert words(shop) == ["resubmit"]
    with pytest.raises(Conflict):
        resubmit_job(shop.entrance, job, Again(ADA, "again"))
    with pytest.raises(Conflict):
        decisions.cancel(shop.db, shop.settings, job, ADA)
    assert words(shop) == ["resubmit"]


def test_given_a_dated_redrive_when_held_back_then_both_stay_readable_by_job_and_as_one_request(
    shop: Shop,
) -> None:
    job, other = failed(shop), failed(shop)
    meant = DeadLetterFilter(shop.tenant, saga="shop")
    redrive.redrive_many(
        shop.db, shop.settings, RedrivePlan(meant, 1, 0), Again(ADA, "the bank is back")
    )
    assert redrive.cancel_redrive(shop.db, meant, BERT, "it is not") == 2
    assert redrive.cancel_redrive(shop.db, meant, BERT, "it is not") == 0
    (letter,) = shop.letters(job)
    assert (letter.redrive_at, letter.redrive_by, letter.redrive_key, letter.redrive_why) == (
        None,
        None,
        None,
        None,
    )
    dated, held = written(shop)
    assert (dated["act"], dated["actor"], dated["reason"]) == (
        "redrive-many",
        "operator:ada",
        "the bank is back",
    )
    assert dated["details"] | {"takes_seconds": 1} == {
        "letters": 2, "rate": 1, "ramp_seconds": 0, "takes_seconds": 1, "only_saga": "shop"
    }  # fmt: skip
    assert (held["act"], held["actor"], held["reason"], held["details"]["letters"]) == (
        "cancel-redrive",
        "cli:bert",
        "it is not",
        2,
    )
    for one in (job, other):
        parts = written(shop, job_id=one)
        assert [part["part_of"] for part in parts] == [dated["id"], held["id"]]
    assert words(shop, job_id=job, tenant_id=shop.tenant) == ["redrive-many", "cancel-redrive"]


def test_given_a_dated_letter_when_the_relay_sends_it_back_then_history_names_the_key_without_a_second_act(
    shop: Shop,
) -> None:
    job = failed(shop)
    redrive.redrive_many(
        shop.db, shop.settings, RedrivePlan(DeadLetterFilter(), 100, 0), Again(ADA, "w")
    )
    assert shop.sweep().get("redriven") == 1
    assert words(shop) == ["redrive-many"]
    assert history_view(shop.db, job, None)["items"][-1]["key_id"] == KEY


def test_given_keys_when_made_and_revoked_then_each_is_an_act_once(shop: Shop) -> None:
    key_id, text_of_key = keys.create(shop.db, name="laptop", actor=BERT)
    for _ in range(2):
        keys.sign_out(shop.db, key_id, BERT)
        keys.revoke(shop.db, key_id, BERT)
    keys.ensure_admin(shop.db, "a first key of thirty-two characters or more")
    keys.ensure_admin(shop.db, "a first key of thirty-two characters or more")
    found = written(shop)
    assert [one["act"] for one in found] == ["create", "sign-out", "revoke", "sign-out", "create"]
    assert found[0]["object"] == {"kind": "key", "id": key_id}
    assert found[0]["details"] == {"role": "user", "name": "laptop"}
    assert found[-1]["actor"] == "setting:SUREFOOT_API_KEY"
    assert text_of_key not in str(found)


def test_given_a_secret_of_the_job_in_a_reason_when_written_then_masked_and_details_are_bounded(
    shop: Shop,
) -> None:
    job = shop.asked()
    (letter,) = shop.letters(job)
    decisions.mark_done(shop.db, letter.id, ADA, f"refunded {GOOD['card']} by hand")
    assert written(shop)[0]["reason"] == "refunded *** by hand"
    many = {f"detail {n:02}": "x" * 10_000 for n in range(100)} | {"nothing": None}
    transaction(
        shop.db,
        lambda tx: acts.note(tx, ADA, Act("test", "job", "", reason="y" * 10_000, details=many)),
    )
    act = written(shop)[-1]
    assert (len(act["details"]), len(act["details"]["detail 00"]), len(act["reason"])) == (
        20,
        255,
        1000,
    )


def test_given_findings_when_people_close_them_then_acts_and_what_closes_by_itself_leaves_none(
    shop: Shop,
) -> None:
    found = {
        "job_id": None,
        "saga": "shop",
        "step": "",
        "item": "",
        "service": "bank",
        "action": "told",
        "detail": None,
    }
    opened = [
        found | {"finding": "orphan", "key": f"{new_id()}:charge_card::action"} for _ in range(3)
    ]
    findings.record(shop.db, opened, {}, shop.tenant, "surefoot")
    with reading(shop.db) as connection:
        ids = list(connection.scalars(select(reconciliations.c.id).order_by(reconciliations.c.id)))
    findings.close(shop.db, ids[0], "surefoot", "both agree")
    findings.close(shop.db, ids[1], ADA, "seen to")
    findings.adopt(shop.db, ids[2], BERT, "it is right")
    assert [(one["act"], one["object"]["id"]) for one in written(shop)] == [
        ("close", ids[1]),
        ("adopt", ids[2]),
    ]


# --- kept as it was written
# ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "change",
    [
        update(table).values(actor="nobody"),
        delete(table),
        text("UPDATE surefoot_acts SET reason = ''"),
        text("DELETE FROM surefoot_acts"),
    ],
)
def test_given_an_act_when_changed_or_taken_away_then_the_store_refuses(
    shop: Shop, change: Any
) -> None:
    transaction(shop.db, lambda tx: acts.note(tx, ADA, Act("test", "job", "")))
    with (
        pytest.raises(DBAPIError, match="acts are kept as they were written"),
        shop.db.begin() as tx,
    ):
        tx.execute(change)
    if shop.db.dialect.name == "postgresql":
        with pytest.raises(DBAPIError, match="kept"), shop.db.begin() as tx:
            tx.execute(text("TRUNCATE surefoot_acts"))
    assert written(shop)[0]["actor"] == "operator:ada"


# --- found again ---------------------------------------------------------------------------------
# --------------------
def test_given_many_acts_when_listed_then_by_pages_by_actor_and_by_time(shop: Shop) -> None:
    def note(tx: Connection) -> None:
        for number in range(7):
            acts.note(tx, ADA if number % 2 else BERT, Act("test", "job", str(number), shop.tenant))

    transaction(shop.db, note)  # at one moment on PostgreSQL, or nearly: then the id decides
    seen, after = [], None
    while True:
        rows, after = acts_view(shop.db, Asked(shop.tenant), after=after, limit=2)
        seen += [int(row["object"]["id"]) for row in rows]
        if after is None:
            break
    assert sorted(seen) == list(range(7))
    assert seen == sorted(seen, reverse=True)
    assert len(words(shop, actor="operator:ada")) == 3
    assert words(shop, tenant_id=KEY) == []
    with reading(shop.db) as connection:
        times = sorted(connection.scalars(select(table.c.at)))
    assert len(words(shop, since=times[0])) == 7
    assert words(shop, until=times[0]) == words(shop, since=times[-1] + timedelta(seconds=1)) == []


LISTS: dict[str, tuple[Asked, str]] = {
    "everybody's": (Asked(), "ix_acts_all"),
    "a tenant's": (Asked(KEY), "ix_acts_tenant"),
    "an actor's": (Asked(actor="a"), "ix_acts_actor"),
    "a job's": (Asked(job_id=KEY), "ix_acts_job"),
    "a tenant's of an actor": (
        Asked(KEY, actor="a"),
        "ix_acts_actor|ix_acts_tenant",
    ),
}


@pytest.mark.parametrize("name", LISTS)
def test_given_a_list_of_acts_then_its_page_is_read_in_the_order_of_an_index(
    shop: Shop, name: str
) -> None:
    asked, index = LISTS[name]
    for after in (None, (datetime(2026, 11, 28, tzinfo=UTC), KEY)):
        ask: Callable[[Connection], Any] = partial(acts.page, asked=asked, after=after, limit=10)
        sql, plan = first_plan(shop.db, ask, without=PATHS)
        assert served(plan, index), f"{sql}\n{plan}"
        assert not sorts(plan), plan
