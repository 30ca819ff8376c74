"""A release that cannot read what an earlier one accepted: jobs wait, no attempt is used, and go on when code that can read is back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import update

from surefoot.app.engine.operators.deploy_check import unreadable_jobs
from surefoot.app.explain import why
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.outcomes import NotYet
from surefoot.app.saga.registry import Registry
from surefoot.app.store.session import reading
from surefoot.app.store.tables import jobs, operations
from surefoot.app.store.views import stats
from tests.support.world import Participant, Thing, World


class Charge(BaseModel):
    cents: int


class Renamed(BaseModel):
    amount_cents: int


class Page(BaseModel):
    number: int


SERVICE = Participant()


def release(result: type[BaseModel], **more: Any) -> Saga[Any]:
    """The saga as one release has it: results do not count in its digest."""
    saga = Saga("pay", version=1, input=Thing, **more)

    def charge(ctx: Any, o: Any) -> Any:
        SERVICE.act(ctx)
        return result(**dict.fromkeys(result.model_fields, 5))

    charge.__annotations__["return"] = result
    charged = saga.step(lane="a")(charge)

    @charged.compensate("exact")
    def refund(ctx: Any, o: Any, made: Any) -> None:
        SERVICE.act(ctx)

    @saga.step(lane="a", undo=None)
    def book(ctx: Any, o: Any, made: Any) -> Any:
        page = ctx.checkpoint_as(Page)
        return SERVICE.act(ctx) if page is None or page.number else None

    book.fn.__annotations__["return"] = Any
    return saga


@pytest.fixture
def world(ready_url: str) -> Iterator[World]:
    SERVICE.__init__()  # type: ignore[misc]
    made = World(ready_url, [release(Charge)], SERVICE)
    yield made
    made.db.dispose()


def deploy(world: World, result: type[BaseModel]) -> None:
    saga = release(result)
    assert saga.digest == world.registry.all()[0].digest
    world.registry = Registry([saga])


def come_by(world: World, times: int = 4) -> None:
    for _ in range(times):
        world.drain()
        world.let_pass(11)
        world.sweep()
    world.drain()


def test_given_a_release_that_cannot_read_a_result_then_the_job_waits_and_goes_on_with_the_one_before(
    world: World,
) -> None:
    SERVICE.script["book", "action"] = [NotYet(5)]
    job = world.submit()
    world.drain()
    deploy(world, Renamed)
    come_by(world)
    row = world.operation(job, "book")
    assert (
        world.state(job),
        row.state,
        row.wait_reason,
        row.max_attempts - row.attempts,
        row.unknown_outcomes,
    ) == (
        "running",
        "waiting",
        "unreadable",
        5,
        1,
    )
    assert world.events(job).count("unreadable book") == 1
    said = why(world.db, job, None)["sentence"]
    assert (
        "the stored result of step charge cannot be read by this code as Renamed, field amount_cents"
        in said
    )
    with reading(world.db) as connection:
        (told,) = stats.unread(connection)
    assert (told.saga, told.step, told.count) == (
        "pay",
        "book",
        1,
    ) and "Renamed, field amount_cents" in told.said
    deploy(world, Charge)
    assert world.land(job) == "completed"
    assert not world.broken()


def test_given_a_release_that_cannot_read_what_is_undone_then_the_undo_waits_and_no_person_is_asked(
    world: World,
) -> None:
    job = world.submit()
    world.deliver(world.next())
    deploy(world, Renamed)
    world.cancel(job)
    come_by(world)
    row = world.operation(job, "charge", "undo")
    assert (
        world.state(job),
        row.state,
        row.wait_reason,
        row.max_attempts - row.attempts,
        world.letters(job),
    ) == (
        "compensating",
        "waiting",
        "unreadable",
        10,
        [],
    )
    deploy(world, Charge)
    assert world.land(job) == "cancelled"
    assert SERVICE.steps("undo") == ["charge"]


def test_given_an_input_that_cannot_be_read_then_the_job_waits_and_can_be_cancelled(
    world: World,
) -> None:
    job = world.submit()
    with world.db.begin() as tx:
        tx.execute(update(jobs).values(input={"name": ["once", "a", "list"]}))
    come_by(world)
    row = world.operation(job, "charge")
    assert (world.state(job), row.state, row.max_attempts - row.attempts, row.unknown_outcomes) == (
        "running",
        "waiting",
        5,
        0,
    )
    assert (row.error["model"], row.error["field"]) == ("Thing", "name")
    world.cancel(job)
    assert world.land(job) == "cancelled"
    assert SERVICE.order == []


def test_given_a_checkpoint_that_cannot_be_read_then_the_step_waits_and_its_outcome_is_open(
    world: World,
) -> None:
    job = world.submit()
    world.deliver(world.next())
    keep_checkpoint(world, {"page": 4})
    come_by(world)
    row = world.operation(job, "book")
    assert (row.state, row.wait_reason, row.error["field"], row.max_attempts - row.attempts) == (
        "waiting",
        "unreadable",
        "number",
        5,
    )
    keep_checkpoint(world, {"number": 4})
    assert world.land(job) == "completed"


def keep_checkpoint(world: World, value: Any) -> None:
    with world.db.begin() as tx:
        tx.execute(update(operations).where(operations.c.step == "book").values(checkpoint=value))


def test_given_a_saga_that_gives_up_then_its_time_runs_while_nobody_can_read(
    ready_url: str,
) -> None:
    SERVICE.__init__()  # type: ignore[misc]
    world = World(ready_url, [release(Charge, queue_timeout="1m")], SERVICE)
    job = world.submit()
    world.deliver(world.next())
    world.registry = Registry([release(Renamed, queue_timeout="1m")])
    come_by(world, 6)
    world.registry = Registry([release(Charge, queue_timeout="1m")])
    assert world.land(job, pass_s=11) == "failed"
    assert [letter.why for letter in world.letters(job)] == ["queue_timeout"]
    world.db.dispose()


def test_given_a_release_that_cannot_read_what_waits_when_asked_before_the_deploy_then_model_field_and_jobs_are_told(
    world: World,
) -> None:
    SERVICE.script["book", "action"] = [NotYet(5), NotYet(5)]
    world.submit()
    world.submit()
    world.drain()
    assert unreadable_jobs(world.db, Registry([release(Charge)])) == []
    found = unreadable_jobs(world.db, Registry([release(Renamed)]))
    assert [(one.saga, one.jobs) for one in found] == [("pay", 2)]
    assert "Renamed, field amount_cents" in found[0].said
    missing = unreadable_jobs(world.db, Registry())
    assert [(one.saga, one.jobs) for one in missing] == [("pay", 2)]
    assert "this code does not have" in missing[0].said
