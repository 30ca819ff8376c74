"""The store is lost, or put back to an older copy, and the services are ahead of it: all of it is told, and there is an act for each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from surefoot import Context, EffectState, effects_in_barrier_between
from surefoot.app.cli import COMMANDS
from surefoot.app.cli.group import Commands, outcome
from surefoot.app.config import settings
from surefoot.app.engine.reconcile import findings, restored
from surefoot.app.engine.reconcile import run as reconcile
from surefoot.app.engine.reconcile.findings import UndoAsked
from surefoot.app.engine.reconcile.run import Scope
from surefoot.app.engine.worker.execute import UNKNOWN_JOB
from surefoot.app.errors import Conflict
from surefoot.app.store.ids import new_id
from surefoot.workers.sagas.order import ledger
from surefoot.workers.sagas.order.models import OrderRequest
from surefoot.workers.sagas.order.saga import order
from surefoot.workers.sagas.order.services import inventory
from surefoot.workers.sagas.order.services import order as orders
from tests.support.copied import copy_of, put_back
from tests.support.world import Participant, World

INPUT = {
    "customer": "Ada",
    "email": "ada@example.org",
    "sku": "apple",
    "quantity": 2,
    "amount_cents": 1250,
    "card": "tok_ok",
}


@pytest.fixture
def world(ready_url: str) -> Iterator[World]:
    assert order.world is not None
    with order.world():
        world = World(ready_url, [order], Participant())
        yield world
        world.db.dispose()


def until(world: World, *steps: str) -> str:
    """An order of which these steps are done and no other; the messages of what is next are on their way."""
    job = world.submit(input=INPUT)
    for step in steps:
        (own,) = [
            one
            for one in world.broker.waiting
            if (one.message.job_id, one.message.task) == (job, f"order.{step}")
        ]
        world.broker.waiting.remove(own)
        world.deliver(own)
    return job


def lost_jobs(world: World) -> dict[str, str]:
    """Jobs of half a minute that the store does not know any more: one each at its end, on its way, and just begun."""
    before = world.submit(input=INPUT)
    assert world.land(before) == "completed"
    copy = copy_of(world.db)
    shipped = world.submit(input=INPUT)
    assert world.land(shipped) == "completed"
    paid, begun = (
        until(world, "create_order", "reserve_stock", "charge_card"),
        until(world, "create_order"),
    )
    confirmed = until(world, "create_order", "reserve_stock", "charge_card", "confirm_order")
    put_back(world.db, copy)
    return {
        "before": before,
        "shipped": shipped,
        "paid": paid,
        "begun": begun,
        "confirmed": confirmed,
    }


def advised(world: World) -> dict[tuple[str, str], str]:
    """(job, step) -> what to do."""
    found = restored.advise(world.db, world.registry, restored.open_findings(world.db))
    return {(one["key"].split(":")[0], one["step"]): advice.act for one, advice in found}


def test_given_a_copy_half_a_minute_old_when_put_back_then_everything_of_the_lost_jobs_is_named_with_what_to_do(
    world: World,
) -> None:
    jobs = lost_jobs(world)
    done = reconcile.whole_window(
        world.db, world.settings, world.registry, "test", Scope(thorough=True)
    )
    assert {one["finding"] for one in done.found} == {"orphan"}
    of = {
        name: {one["step"] for one in done.found if one["key"].startswith(job)}
        for name, job in jobs.items()
    }
    behind = {"ship_order", "send_receipt"}
    assert of == {
        "before": set(),
        "shipped": {"create_order", "reserve_stock", "charge_card", "confirm_order", *behind},
        "paid": {"create_order", "reserve_stock", "charge_card"},
        "begun": {"create_order"},
        "confirmed": {"create_order", "reserve_stock", "charge_card", "confirm_order"},
    }
    acts = advised(world)
    assert {
        act for (job, _), act in acts.items() if job in (jobs["shipped"], jobs["confirmed"])
    } == {"adopt"}
    assert {act for (job, _), act in acts.items() if job in (jobs["paid"], jobs["begun"])} == {
        "undo"
    }
    whys = [
        advice.why
        for one, advice in restored.advise(
            world.db, world.registry, restored.open_findings(world.db)
        )
    ]
    assert any("to be done by hand: ship_order, send_receipt" in why for why in whys), (
        "of the one that was confirmed"
    )
    lost = restored.lost_between(restored.open_findings(world.db))
    assert lost is not None
    assert lost[0] <= lost[1]


def test_given_lost_jobs_when_each_is_adopted_or_undone_then_services_and_store_agree_and_the_books_add_up(
    world: World,
) -> None:
    jobs = lost_jobs(world)
    reconcile.whole_window(world.db, world.settings, world.registry, "test")
    for one, advice in restored.advise(world.db, world.registry, restored.open_findings(world.db)):
        if advice.act == "adopt":
            with pytest.raises(Conflict, match="past the point of no return"):
                findings.undo(world.db, world.registry, one["id"], UndoAsked("cli:ada", "gone"))
            assert findings.adopt(
                world.db, one["id"], "cli:ada", "it was delivered", jobs["before"]
            )
        else:
            assert (
                findings.undo(
                    world.db, world.registry, one["id"], UndoAsked("cli:ada", "nobody waits for it")
                )
                is None
            )
    again = reconcile.whole_window(world.db, world.settings, world.registry, "test")
    assert (again.found, restored.open_findings(world.db)) == ([], [])
    states = {row.job: row.state for row in orders.all_orders()}
    assert (states[jobs["paid"]], states[jobs["begun"]], states[jobs["shipped"]]) == (
        "voided",
        "voided",
        "confirmed",
    )
    read = ledger.draw_up(ledger.read_books())
    assert [line.refunded_cents for line in read.orders if line.job == jobs["paid"]] == [1250]
    assert read.violations == []
    assert world.events(jobs["before"]).count("effect_adopted") == 10


def test_given_messages_of_lost_jobs_when_they_come_then_they_are_told_as_such(
    world: World,
) -> None:
    lost_jobs(world)
    assert world.broker.waiting
    for parcel in list(world.broker.waiting):
        performed = world.deliver(parcel)
        assert (performed.forged, performed.error) == (True, UNKNOWN_JOB)


def test_given_a_store_with_nothing_in_it_when_reconciled_then_every_effect_is_an_orphan_and_listed_once(
    world: World,
) -> None:
    empty = copy_of(world.db)
    job = world.submit(input=INPUT)
    assert world.land(job) == "completed"
    put_back(world.db, empty)
    planned = reconcile.whole_window(
        world.db, world.settings, world.registry, "test", Scope(dry_run=True)
    )
    assert len(planned.found) == 6
    assert len(reconcile.patrol(world.db, world.settings, world.registry, "test").found) == 6
    planned = reconcile.whole_window(
        world.db, world.settings, world.registry, "test", Scope(dry_run=True)
    )
    assert len(planned.found) == len({one["key"] for one in planned.found}) == 6


def test_given_effects_behind_a_barrier_when_listed_between_keys_then_those_by_key_and_no_more_than_wanted(
    services: str,
) -> None:
    jobs = sorted(new_id() for _ in range(3))
    for job in jobs:
        o = OrderRequest.model_validate(INPUT)
        made = orders.create(Context(job, "order", "create_order"), o)
        inventory.reserve(Context(job, "order", "reserve_stock"), made.order_id, o.sku, o.quantity)
        inventory.ship(Context(job, "order", "ship_order"), f"{job}:reserve_stock::action")
    inventory.release(
        Context(new_id(), "order", "reserve_stock", kind="undo")
    )  # a tombstone is no effect
    keys = [f"{job}:{step}::action" for job in jobs for step in ("reserve_stock", "ship_order")]
    there = [
        one.key
        for one in inventory.seen_between(jobs[0] + ":", "g;")
        if one.state == EffectState.DONE
    ]
    assert there == keys
    assert [one.key for one in inventory.seen_between(keys[0], jobs[1] + ";")] == keys[1:4]
    assert [one.key for one in inventory.seen_between(jobs[0] + ";", jobs[2] + ":")] == keys[2:4]
    with inventory.database.snapshot() as tx:
        assert [one.key for one in effects_in_barrier_between(tx, keys[0], "g;", 2)] == keys[1:3]


def test_given_the_commands_when_a_store_was_put_back_then_they_say_what_to_do_and_do_it(
    world: World,
    ready_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lost_jobs(world)
    monkeypatch.setenv("DATABASE_URL", ready_url)
    monkeypatch.setenv("SUREFOOT_SAGAS", "surefoot.workers.sagas.order.saga")
    settings.cache_clear()

    def run(*words: str) -> str:
        code = outcome(Commands(COMMANDS), ["reconcile", *words])
        said = capsys.readouterr()
        assert code == 0, said.err
        return said.out

    told: dict[str, Any] = json.loads(
        "{" + run("--after-restore", "--dry-run", "--json").partition("{")[2]
    )
    assert restored.open_findings(world.db) == []
    assert sorted(one["advice"]["act"] for one in told["findings"]) == ["adopt"] * 10 + ["undo"] * 4
    shown = run("--after-restore")
    assert 'surefoot reconcile undo --advised --why "..."   # all 4 of these' in shown
    assert "idempotency keys are lost" in shown
    assert run("undo", "--advised", "--why", "lost").endswith("4 of 4 undone.\n")
    assert run("adopt", "--advised", "--why", "delivered").endswith("10 of 10 adopted.\n")
    assert "there is nothing to do" in run("--after-restore")


def test_given_an_undo_decided_when_the_service_is_away_then_it_stays_open_and_the_next_round_does_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = lost_jobs(world)
    reconcile.whole_window(world.db, world.settings, world.registry, "test")
    (charge,) = [
        one
        for one in restored.open_findings(world.db)
        if one["key"] == f"{jobs['paid']}:charge_card::action"
    ]
    kept, asked = order.effect_undoers["payments"], []

    def away(ctx: Context, seen: Any) -> None:
        asked.append((ctx.key, ctx.action_key, seen.detail["charged_cents"]))
        raise ConnectionError("the bank is away")

    monkeypatch.setitem(order.effect_undoers, "payments", away)
    told = findings.undo(world.db, world.registry, charge["id"], UndoAsked("cli:ada", "lost"))
    assert told == "ConnectionError: the bank is away"
    assert asked == [(f"{jobs['paid']}:charge_card::undo", charge["key"], 1250)]
    (open_one,) = [one for one in restored.open_findings(world.db) if one["id"] == charge["id"]]
    assert (open_one["action"], open_one["detail"]["decided"]) == (
        "undo",
        {"by": "cli:ada", "why": "lost"},
    )
    with pytest.raises(Conflict, match="its undo was decided"):
        findings.adopt(world.db, charge["id"], "cli:bob", "let it be", jobs["before"])
    assert "effect_adopted" not in world.events(jobs["before"])
    monkeypatch.setitem(order.effect_undoers, "payments", kept)
    reconcile.patrol(world.db, world.settings, world.registry, "relay")
    assert charge["id"] not in {one["id"] for one in restored.open_findings(world.db)}
