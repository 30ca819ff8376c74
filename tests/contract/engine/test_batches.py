"""Batches: batchable members of a fork share a message, and none waits for what becomes of another."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from surefoot.app.engine.worker import leases
from surefoot.app.saga.outcomes import Rejected
from surefoot.app.store.claims import Holder
from tests.contract.engine.conftest import BOTH_COMPLETIONS
from tests.contract.engine.test_any_graph import build
from tests.support.world import BOOT, Participant, World

pytestmark = BOTH_COMPLETIONS
MEMBERS = ("a", "b", "c", "d", "e", "f")
FORK: dict[str, list[str]] = {step: [] for step in MEMBERS} | {
    "join": list(MEMBERS),
    "after": ["join"],
}


@pytest.fixture
def world(ready_url: str, service: Participant) -> Iterator[World]:
    """Six batchable steps side by side on one lane, a join and one more: two batches of three."""
    world = World(ready_url, [build(service, FORK, batchable=set(MEMBERS))], service)
    world.runs_on = True
    yield world
    assert world.broken() == {}
    world.db.dispose()


def test_given_a_fork_of_brief_steps_then_two_messages_do_all_of_it_and_what_is_behind_the_join(
    world: World, service: Participant
) -> None:
    job = world.submit()
    world.drain()
    assert world.state(job) == "completed"
    assert sum(world.broker.published.values()) == 2
    assert service.steps() == [*MEMBERS, "join", "after"]
    rows = {step: world.operation(job, step) for step in FORK}
    assert {row.attempts for row in rows.values()} == {1}
    assert [rows[step].message_id for step in FORK] == [rows["a"].id] * 3 + [rows["d"].id] * 5


def test_given_packs_then_all_their_members_count_as_sent_and_are_not_rung_again(
    world: World,
) -> None:
    job = world.submit()
    assert all(world.operation(job, step).sent_at is not None for step in MEMBERS)
    world.let_pass(world.settings.unsent_seconds + 1)
    world.sweep()
    assert len(world.broker.waiting) == 2


def test_given_nothing_is_run_on_to_then_each_member_leaves_after_the_one_before_it(
    world: World, service: Participant
) -> None:
    world.runs_on = False
    job = world.submit()
    world.drain()
    assert world.state(job) == "completed"
    assert set(world.broker.published.values()) == {1}


def test_given_a_member_that_fails_for_now_then_those_behind_it_do_not_wait_for_its_next_attempt(
    world: World, service: Participant
) -> None:
    service.script["a", "action"] = [RuntimeError("once")]
    job = world.submit()
    assert world.deliver(world.next()).verdict == "retry"
    assert [parcel.message.operation_id for parcel in world.broker.waiting[1:]] == [
        world.operation(job, "b").id
    ]
    world.drain()
    assert set(service.steps()) == set(MEMBERS) - {"a"}
    assert world.land(job) == "completed"
    assert service.calls["a", "action"] == 2
    assert {service.calls[step, "action"] for step in MEMBERS[1:]} == {1}


def test_given_a_member_that_is_refused_then_what_was_done_is_undone_and_nothing_behind_it_runs(
    world: World, service: Participant
) -> None:
    service.script["b", "action"] = [Rejected("no")]
    job = world.submit()
    assert world.deliver(world.next()).verdict == "failed"
    world.drain()
    assert world.land(job) == "failed"
    assert service.steps() == ["a"] and service.steps("undo") == ["a"]


def test_given_a_member_that_somebody_else_has_then_those_behind_it_go_on(
    world: World, service: Participant
) -> None:
    job = world.submit()
    first = world.next()
    later = first.next
    assert later is not None
    world.deliver(later)  # b and c, ahead of a: as when a timer has given them away
    assert service.steps() == ["b", "c"]
    world.drain()
    world.deliver(first)
    world.drain()
    assert world.state(job) == "completed"
    assert {row.attempts for row in (world.operation(job, step) for step in MEMBERS)} == {1}


def test_given_a_message_that_comes_again_then_it_walks_to_what_is_not_done(
    world: World, service: Participant
) -> None:
    job = world.submit()
    first = world.next()

    def killed() -> None:
        raise KeyboardInterrupt

    world.before_rider = killed
    with pytest.raises(KeyboardInterrupt):
        world.deliver(first)
    world.before_rider = None
    row = world.operation(job, "b")
    assert (row.state, row.message_id) == ("running", first.message.operation_id)
    assert leases.report_child_lost(
        world.db,
        world.settings,
        world.broker,
        Holder(worker_id=BOOT, pid=1, message=first.message.operation_id),
        "SIGKILL",
    )
    world.deliver(first)
    world.drain()
    assert world.state(job) == "completed"
    assert {service.calls[step, "action"] for step in MEMBERS} == {1}
    assert world.operation(job, "b").attempts == 2


def test_given_a_member_tried_before_then_a_ride_leaves_it_to_its_own_message(
    world: World, service: Participant
) -> None:
    service.script["b", "action"] = [RuntimeError("once")]
    job = world.submit()
    first = world.next()
    later = first.next
    assert later is not None
    assert world.deliver(later).verdict == "retry"
    world.let_pass(61)
    world.sweep()
    assert world.operation(job, "b").state == "queued"
    world.deliver(first)
    assert world.operation(job, "b").attempts == 1
    assert world.land(job) == "completed"
    assert world.operation(job, "b").attempts == 2


def test_given_a_fork_in_the_middle_of_a_job_then_what_opens_it_sends_batches(
    ready_url: str, service: Participant
) -> None:
    shape: dict[str, list[str]] = {
        "open": [],
        **{step: ["open"] for step in MEMBERS},
        "join": list(MEMBERS),
    }
    world = World(ready_url, [build(service, shape, batchable=set(MEMBERS))], service)
    world.runs_on = True
    job = world.submit()
    world.drain()
    assert world.state(job) == "completed"
    assert sum(world.broker.published.values()) == 3
    assert all(world.operation(job, step).attempts == 1 for step in shape)
    assert world.broken() == {}
    world.db.dispose()
