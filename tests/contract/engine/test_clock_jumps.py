"""The database's clock jumps back by five minutes: fences hold, and what is dated is late by the jump at most."""

from __future__ import annotations

import pytest

from surefoot.app.engine.worker import leases as worker_leases
from surefoot.app.store import leases
from tests.contract.engine.conftest import BOTH_COMPLETIONS
from tests.contract.engine.test_leases_and_zombies import ready_to_fork
from tests.support.world import BOOT, LEASE_S, Participant, World

JUMP_S = 300.0
pytestmark = BOTH_COMPLETIONS


def jump_back(world: World) -> None:
    world.let_pass(-JUMP_S)


def test_given_a_running_attempt_when_the_clock_jumps_back_then_nobody_else_may_claim_and_it_completes(
    world: World,
) -> None:
    job = ready_to_fork(world)
    held = world.claim(job, "left")
    assert held is not None
    jump_back(world)
    assert world.claim(job, "left") is None
    assert (
        worker_leases.renew_leases(world.db, world.settings, BOOT, [held.operation_id]).renewed == 1
    )
    assert world.complete(held, "done").applied
    assert world.land(job) == "completed"
    assert world.operation(job, "left").attempts == 1


@pytest.mark.parametrize(
    ("beats", "late_s"), [(True, 0.0), (False, JUMP_S)], ids=["after-a-heartbeat", "without-one"]
)
def test_given_a_worker_that_dies_when_the_clock_has_jumped_back_then_another_takes_over_late_by_the_jump_at_most(
    world: World, beats: bool, late_s: float
) -> None:
    job = ready_to_fork(world)
    dead = world.claim(job, "left")
    assert dead is not None
    world.broker.waiting.clear()
    jump_back(world)
    if beats:  # a renewal counts from now, whatever the lease was before
        assert (
            worker_leases.renew_leases(world.db, world.settings, BOOT, [dead.operation_id]).renewed
            == 1
        )
    world.let_pass(late_s)
    assert world.sweep().get("expired") is None
    world.let_pass(LEASE_S + 1)
    assert world.sweep()["expired"] == 1
    new = world.claim(job, "left", worker_id="other")
    assert new is not None and new.fence > dead.fence
    jump_back(world)
    assert not world.complete(dead, "from the grave").applied
    assert world.complete(new, "done").applied
    assert world.land(job) == "completed"
    assert world.operation(job, "left").result == "done"


def test_given_a_time_to_try_again_when_the_clock_jumps_back_then_it_is_late_by_the_jump_at_most(
    world: World, service: Participant
) -> None:
    service.script["left", "action"] = [OSError("away")]
    job = world.submit()
    world.drain()
    assert world.operation(job, "left").state == "waiting"
    jump_back(world)
    world.sweep()
    assert world.operation(job, "left").state == "waiting"
    world.let_pass(JUMP_S + 61)
    assert world.sweep()["woken"] == 1
    assert world.land(job) == "completed"


def test_given_the_relays_lease_when_the_clock_jumps_back_then_its_holder_keeps_it_and_one_that_died_is_followed(
    world: World,
) -> None:
    first = leases.acquire(world.db, "relay", "a", 10)
    assert first is not None
    jump_back(world)
    assert leases.acquire(world.db, "relay", "b", 10) is None
    world.let_pass(JUMP_S)
    assert leases.renew(world.db, "relay", first, 10)
    world.let_pass(11)
    second = leases.acquire(world.db, "relay", "b", 10)
    assert second == first + 1
    jump_back(world)
    assert not leases.renew(world.db, "relay", first, 10)
    assert leases.renew(world.db, "relay", second, 10)


@pytest.mark.parametrize("cancelled", [False, True], ids=["forward", "back"])
def test_given_a_clock_that_jumps_back_after_each_message_then_the_job_lands_with_each_effect_once(
    world: World, service: Participant, cancelled: bool
) -> None:
    job = world.submit()
    for number in range(20):
        if cancelled and number == 2:
            world.cancel(job)
        if world.broker.waiting:
            world.deliver(world.broker.waiting.pop(0))
        jump_back(world)
        world.sweep()
    assert world.land(job, pass_s=JUMP_S) == ("cancelled" if cancelled else "completed")
    assert len(service.order) == len(set(service.order))
    assert all(count == 1 for count in service.calls.values())
