"""A job that nothing disturbs, and one whose messages are lost, repeated or late."""

from __future__ import annotations

from surefoot.app.store.tables import jobs, operations
from tests.support.world import Participant, World


def test_given_healthy_parts_when_a_job_is_submitted_then_every_step_happens_once_in_order(
    world: World, service: Participant
) -> None:
    job = world.submit()
    world.drain()
    assert world.state(job) == "completed"
    steps = service.steps()
    assert (
        steps[0] == "first"
        and set(steps[1:3]) == {"left", "right"}
        and steps[3:] == ["commit", "after", "last"]
    )
    assert set(world.operations(job).values()) == {"completed"}
    assert set(world.broker.published.values()) == {1}  # nothing was rung twice
    assert world.broker.bodies == 1  # the join came by the chord, not by the sweep
    assert world.events(job)[0] == "submitted" and world.events(job)[-1] == "job_completed"


def test_given_a_lost_message_when_time_passes_then_the_sweep_rings_again_and_the_job_completes(
    world: World,
) -> None:
    job = world.submit()
    world.broker.waiting.clear()
    assert world.land(job) == "completed"


def test_given_the_broker_forgets_everything_in_mid_job_then_the_next_sweep_rings_what_was_queued(
    world: World, service: Participant
) -> None:
    job = world.submit()
    world.deliver(world.next("diamond.first"))
    world.deliver(world.next("diamond.left"))
    world.broker.flush()
    world.let_pass(1.5)
    found = world.sweep()
    assert found["broker_lost"] >= 1 and found["unsent"] == 1
    world.drain()
    assert world.state(job) == "completed"
    assert len(service.order) == 6


def test_given_the_broker_is_down_when_a_job_is_submitted_then_it_is_kept_and_runs_later(
    world: World,
) -> None:
    world.broker.down = True
    job = world.submit()
    assert world.operation(job, "first").sent_at is None
    world.sweep()
    world.broker.down = False
    world.let_pass(1.5)
    world.sweep()
    world.drain()
    assert world.state(job) == "completed"


def test_given_every_message_comes_five_times_then_every_effect_happens_once(
    world: World, service: Participant
) -> None:
    job = world.submit()
    for _ in range(200):
        if not world.broker.waiting:
            break
        rung = world.broker.waiting.pop(0)
        for _ in range(5):
            world.deliver(rung)
    assert world.state(job) == "completed"
    assert len(service.order) == len(set(service.order)) == 6
    assert max(service.calls.values()) == 1


def test_given_a_message_of_a_later_step_comes_early_then_the_claim_refuses_it(
    world: World, service: Participant
) -> None:
    job = world.submit()
    world.deliver(world.next())
    left = world.next("diamond.left")
    assert left.body is not None
    early = type(left)(left.body.messages[0])
    assert world.deliver(early).verdict == "dropped"
    assert service.calls["commit", "action"] == 0
    world.deliver(left)
    world.drain()
    assert world.state(job) == "completed"


def test_given_the_same_idempotency_key_when_submitted_again_then_it_is_the_same_job(
    world: World,
) -> None:
    first, again = world.submit(key="k"), world.submit(key="k")
    assert first == again
    assert world.count(jobs) == 1 and world.count(operations) == 6
    world.drain()


def test_given_a_completed_job_when_its_messages_come_again_then_they_cost_no_user_code(
    world: World, service: Participant
) -> None:
    job = world.submit()
    rung = world.broker.waiting[0]
    world.drain()
    calls = dict(service.calls)
    assert world.deliver(rung).verdict == "repeated"
    world.drain()
    assert dict(service.calls) == calls and world.state(job) == "completed"
