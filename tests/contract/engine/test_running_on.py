"""Run-on: the next operation of the same lane is claimed by the completion before it, and no message of it leaves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from surefoot.app.engine.worker import leases
from surefoot.app.saga.outcomes import Rejected
from surefoot.app.store.claims import ClaimRequest, Holder
from tests.contract.engine.conftest import BOTH_COMPLETIONS
from tests.contract.engine.test_any_graph import build
from tests.support.world import BOOT, Participant, World

LINE = {"a": [], "b": ["a"], "c": ["b"], "d": ["c"]}
pytestmark = BOTH_COMPLETIONS


@pytest.fixture
def world(ready_url: str, service: Participant) -> Iterator[World]:
    """Four steps on one lane, one after the other."""
    world = World(ready_url, [build(service, LINE)], service)
    world.runs_on = True
    yield world
    assert world.broken() == {}
    world.db.dispose()


def test_given_one_lane_then_one_message_carries_the_whole_run(
    world: World, service: Participant
) -> None:
    job = world.submit()
    world.drain()
    assert world.state(job) == "completed"
    assert service.steps() == ["a", "b", "c", "d"]
    assert sum(world.broker.published.values()) == 1
    assert {row.attempts for row in (world.operation(job, s) for s in "abcd")} == {1}


def test_given_a_refusal_in_the_run_then_the_undos_run_on_too(
    world: World, service: Participant
) -> None:
    service.script["c", "action"] = [Rejected("no")]
    job = world.submit()
    world.drain()
    assert world.state(job) == "failed"
    assert service.steps("undo") == ["b", "a"]
    assert sum(world.broker.published.values()) == 2


def test_given_a_transient_error_in_the_run_then_it_is_tried_again_alone_and_the_rest_follows(
    world: World, service: Participant
) -> None:
    service.script["b", "action"] = [RuntimeError("once")]
    job = world.submit()
    assert world.land(job) == "completed"
    assert service.calls["a", "action"] == 1
    assert service.calls["b", "action"] == 2


def test_given_a_cancel_between_the_commit_and_the_next_step_then_that_step_was_claimed_before_and_is_undone(
    world: World, service: Participant
) -> None:
    job = world.submit()
    world.before_rider = lambda: world.cancel(job)
    world.deliver(world.next())
    assert service.calls["b", "action"] == 1
    assert world.land(job) == "cancelled"
    assert service.steps("undo") == ["b", "a"]


def test_given_a_child_killed_in_the_run_then_the_message_resumes_at_the_first_operation_that_is_not_done(
    world: World, service: Participant
) -> None:
    job = world.submit()
    rung = world.next()

    def killed() -> None:
        raise KeyboardInterrupt

    world.before_rider = killed
    with pytest.raises(KeyboardInterrupt):
        world.deliver(rung)
    world.before_rider = None
    row = world.operation(job, "b")
    assert (row.state, row.message_id) == ("running", rung.message.operation_id)
    world.let_pass(1.5)
    assert (
        leases.renew_leases(world.db, world.settings, BOOT, [rung.message.operation_id]).renewed
        == 1
    )
    assert leases.report_child_lost(
        world.db,
        world.settings,
        world.broker,
        Holder(worker_id=BOOT, pid=1, message=rung.message.operation_id),
        "SIGKILL",
    )
    assert world.operation(job, "b").state == "queued"
    world.deliver(rung)  # as Celery puts it back
    world.drain()
    assert world.state(job) == "completed"
    assert service.calls["a", "action"] == 1
    assert world.operation(job, "b").attempts == 2


def test_given_the_rider_is_not_released_then_the_completion_stands_without_it(
    world: World,
) -> None:
    job = world.submit()
    world.broker.waiting.clear()
    first, third = world.operation(job, "a"), world.operation(job, "c")
    held = world.claim(job, "a")
    assert held is not None
    ended = world.complete(
        held, "done", frozenset(), ClaimRequest(third.id, BOOT, 1, first.id, 2.0, 60.0)
    )
    assert ended.applied
    assert ended.following is None
    assert world.land(job) == "completed"


def test_given_a_message_of_a_later_step_of_the_run_when_it_comes_early_then_the_claim_refuses_it(
    world: World, service: Participant
) -> None:
    job = world.submit()
    later = world.broker.waiting[0].next
    assert later is not None and world.operation(job, "b").state == "queued"
    assert world.deliver(later).verdict == "dropped"
    assert service.calls["b", "action"] == 0
    assert world.land(job) == "completed"
