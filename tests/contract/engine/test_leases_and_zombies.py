"""Workers that die, freeze and come back: the lease says who may try, the token who may write."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import delete, update

from surefoot.app.engine.jobs import operations as attempts
from surefoot.app.engine.jobs.attempt import Attempt, Failure
from surefoot.app.engine.jobs.dead_letters import require_attention
from surefoot.app.engine.jobs.transaction import JobTransaction
from surefoot.app.engine.worker import leases as worker_leases
from surefoot.app.engine.worker.handle import StepHandle
from surefoot.app.errors import LeaseLost
from surefoot.app.rules.reasons import FailureReason
from surefoot.app.saga.context import Context
from surefoot.app.saga.outcomes import NotYet
from surefoot.app.store import dead_letters, job_writes, leases, operation_reads
from surefoot.app.store.claims import Holder
from surefoot.app.store.tables import history, jobs, operations
from tests.contract.engine.conftest import BOTH_COMPLETIONS
from tests.support.world import BOOT, LEASE_S, Participant, World

pytestmark = BOTH_COMPLETIONS


def ready_to_fork(world: World) -> str:
    job = world.submit()
    world.deliver(world.next())
    return job


def test_given_a_worker_dies_after_its_claim_then_another_takes_over_and_its_late_result_is_refused(
    world: World, service: Participant
) -> None:
    job = ready_to_fork(world)
    dead = world.claim(job, "left")
    assert dead is not None
    world.broker.waiting.clear()
    world.let_pass(LEASE_S + 1)
    assert world.sweep()["expired"] == 1
    assert world.operation(job, "left").state == "queued"
    assert world.land(job) == "completed"
    late = world.complete(dead, "from the grave")
    assert not late.applied and late.plan == ()
    assert world.operation(job, "left").result == "left done"
    assert any(event.startswith("late_result_refused") for event in world.events(job))


def test_given_another_attempt_is_running_when_the_old_holder_completes_fails_or_reports_then_nothing_is_written(
    world: World,
) -> None:
    job = ready_to_fork(world)
    old = world.claim(job, "left")
    assert old is not None
    world.broker.waiting.clear()
    world.let_pass(LEASE_S + 1)
    world.sweep()
    new = world.claim(job, "left", worker_id="other")
    assert new is not None and new.fence > old.fence
    assert not world.complete(old, "from the grave").applied
    assert not attempts.fail(
        world.db,
        world.settings,
        old,
        Failure(FailureReason.TRANSIENT, {"type": "X", "message": "x"}),
    ).applied
    with pytest.raises(LeaseLost):
        StepHandle(world.db, world.settings, old).checkpoint("mine")
    with pytest.raises(LeaseLost):
        StepHandle(world.db, world.settings, old).check()
    StepHandle(world.db, world.settings, new).checkpoint("page 4")
    row = world.operation(job, "left")
    assert (row.state, row.token, row.checkpoint) == ("running", new.token, "page 4")
    assert world.complete(new, "fresh").applied
    assert world.land(job) == "completed"


def test_given_a_commit_whose_answer_was_lost_when_completed_again_then_it_is_found_to_have_landed(
    world: World,
) -> None:
    job = ready_to_fork(world)
    held = world.claim(job, "left")
    assert held is not None
    assert world.complete(held, "done").applied
    assert world.complete(held, "done").applied
    assert "late_result_refused" not in " ".join(world.events(job))
    assert (
        world.events(job).count("completed left") == 1
        and world.operation(job, "commit").pending_dependencies == 1
    )
    assert world.land(job) == "completed"


def test_given_a_worker_that_slept_in_its_step_when_another_has_it_then_its_result_is_refused_and_the_other_completes(
    world: World, service: Participant
) -> None:
    job = ready_to_fork(world)
    taken: list[Attempt | None] = []

    def sleeps(ctx: Context) -> str:
        world.let_pass(LEASE_S + 1)
        world.sweep()
        taken.append(world.claim(job, "left", worker_id="other"))
        return "from the grave"

    service.script["left", "action"] = [sleeps]
    assert world.deliver(world.next("diamond.left")).verdict == "dropped"
    (new,) = taken
    assert new is not None
    row = world.operation(job, "left")
    assert (row.state, row.token, row.result) == ("running", new.token, None)
    assert world.complete(new, "fresh").applied
    assert world.land(job) == "completed"


def test_given_a_job_that_asks_a_person_when_its_last_step_completes_then_it_still_asks(
    world: World,
) -> None:
    job = world.submit()
    for step in ("first", "left", "right", "commit", "after"):
        world.deliver(world.next(f"diamond.{step}"))
    with world.db.begin() as tx:
        move = JobTransaction(tx, job)
        row = operation_reads.operation(tx, world.operation(job, "last").id)
        assert row is not None
        require_attention(move, row, why="exhausted", error={"type": "X", "message": "asked"})
        move.close()
    (letter,) = world.letters(job)
    held = world.claim(job, "last")
    assert held is not None and world.complete(held, "done").applied
    assert world.state(job) == "attention" and world.job(job).finished_at is None
    with world.db.begin() as tx:
        assert dead_letters.close(tx, letter.id, resolution="discarded", actor="test", why="seen")
        job_writes.change_job(tx, job, {"state": "running"})
    world.sweep()
    assert world.state(job) == "completed"


def test_given_an_expired_lease_nobody_took_then_its_holder_may_still_complete(
    world: World,
) -> None:
    job = ready_to_fork(world)
    slow = world.claim(job, "left")
    assert slow is not None
    world.let_pass(LEASE_S + 1)
    assert world.complete(slow, "slow but alone").applied
    assert world.land(job) == "completed"


def test_given_a_live_lease_when_the_message_comes_again_then_nobody_else_can_claim(
    world: World,
) -> None:
    job = ready_to_fork(world)
    assert world.claim(job, "left") is not None
    assert world.claim(job, "left") is None
    world.let_pass(60)
    world.sweep()
    assert world.land(job) == "completed"


def test_given_heartbeats_then_the_lease_lives_and_past_the_hard_limit_it_is_not_renewed(
    world: World,
) -> None:
    job = ready_to_fork(world)
    held = world.claim(job, "left")
    assert held is not None
    world.let_pass(LEASE_S * 0.75)
    assert (
        worker_leases.renew_leases(world.db, world.settings, BOOT, [held.operation_id]).renewed == 1
    )
    world.let_pass(LEASE_S * 0.75)
    assert world.sweep().get("expired") is None
    world.let_pass(66)
    assert worker_leases.renew_leases(
        world.db, world.settings, BOOT, [held.operation_id]
    ).overdue == ((held.operation_id, 1, "past its hard limit"),)
    assert (
        worker_leases.renew_leases(world.db, world.settings, "another", [held.operation_id]).renewed
        == 0
    )
    assert world.land(job) == "completed"


def test_given_a_killed_child_then_its_claim_ends_at_once_and_the_returned_message_is_claimed(
    world: World,
) -> None:
    job = ready_to_fork(world)
    rung = world.next("diamond.left")
    held = world.claim(job, "left", pid=77)
    assert held is not None
    assert worker_leases.report_child_lost(
        world.db,
        world.settings,
        world.broker,
        Holder(worker_id=BOOT, pid=77, message=held.operation_id),
        "SIGKILL",
    )
    assert not worker_leases.report_child_lost(
        world.db,
        world.settings,
        world.broker,
        Holder(worker_id=BOOT, pid=77, message=held.operation_id),
        "SIGKILL",
    )
    row = world.operation(job, "left")
    assert (row.state, row.attempts, row.unknown_outcomes) == ("queued", 1, 1)
    world.deliver(rung)
    assert world.operation(job, "left").state == "completed"
    assert world.land(job) == "completed"


def test_given_a_poison_step_that_kills_each_worker_then_it_is_given_up_after_its_attempts(
    world: World, service: Participant
) -> None:
    job = ready_to_fork(world)
    for _ in range(5):
        held = world.claim(job, "left")
        assert held is not None
        worker_leases.report_child_lost(
            world.db,
            world.settings,
            world.broker,
            Holder(worker_id=BOOT, pid=1, message=held.operation_id),
            "SIGKILL",
        )
    assert world.claim(job, "left") is None
    assert world.land(job) == "failed"
    assert [letter.step for letter in world.letters(job)] == ["left"]


def test_given_a_shutdown_then_what_runs_is_handed_back_and_no_attempt_is_used(
    world: World,
) -> None:
    job = ready_to_fork(world)
    assert world.claim(job, "left") is not None
    assert worker_leases.release_on_shutdown(world.db, world.broker, BOOT) == 1
    row = world.operation(job, "left")
    assert row.state == "queued" and row.max_attempts - row.attempts == 5
    assert world.land(job) == "completed"


def test_given_a_worker_that_slept_through_turn_and_undo_then_its_result_is_refused_and_its_effect_too(
    world: World, service: Participant
) -> None:
    job = ready_to_fork(world)
    frozen = world.claim(job, "left")
    assert frozen is not None
    world.cancel(job)
    world.let_pass(LEASE_S + 1)
    assert world.land(job) == "cancelled"
    assert service.done[f"{job}:left::action"] == "tombstone"
    assert not world.complete(frozen, "too late").applied


def test_given_an_expired_attempt_when_its_holder_fails_late_then_that_is_refused_and_on_record(
    world: World,
) -> None:
    job = ready_to_fork(world)
    frozen = world.claim(job, "left")
    assert frozen is not None
    world.cancel(job)
    world.let_pass(LEASE_S + 1)
    world.sweep()
    assert not attempts.fail(
        world.db,
        world.settings,
        frozen,
        Failure(FailureReason.REJECTED, {"type": "X", "message": "x"}, True),
    ).applied
    assert "late_result_refused" in " ".join(world.events(job))
    assert world.land(job) == "cancelled"


def test_given_a_stopped_step_fails_after_the_turn_then_its_undo_settles_it(
    world: World, service: Participant
) -> None:
    job = ready_to_fork(world)
    held = world.claim(job, "left")
    assert held is not None
    world.cancel(job)
    ended = attempts.fail(
        world.db,
        world.settings,
        held,
        Failure(FailureReason.TRANSIENT, {"type": "X", "message": "x"}),
    )
    assert ended.state == "abandoned"
    assert world.land(job) == "cancelled"
    assert world.operation(job, "left", "undo").state == "completed"


def test_given_the_last_two_parallel_steps_finish_together_then_the_join_is_released_once(
    world: World,
) -> None:
    for _ in range(5):
        job = ready_to_fork(world)
        held = [world.claim(job, step) for step in ("left", "right")]
        with ThreadPoolExecutor(2) as pool:
            ended = list(pool.map(lambda a: world.complete(a, "done"), held))
        assert sorted(len(e.released) for e in ended) == [0, 1]
        assert world.land(job) == "completed"


def test_given_many_workers_claim_one_operation_then_exactly_one_has_it(world: World) -> None:
    job = ready_to_fork(world)
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda n: world.claim(job, "left", worker_id=f"w{n}"), range(8)))
    assert sum(a is not None for a in got) == 1
    world.let_pass(LEASE_S + 1)
    world.sweep()
    assert world.land(job) == "completed"


def test_given_cancel_and_completion_at_once_then_both_stand_and_the_job_lands(
    world: World, service: Participant
) -> None:
    for _ in range(5):
        job = ready_to_fork(world)
        held = world.claim(job, "left")
        with ThreadPoolExecutor(2) as pool:
            done = pool.submit(world.complete, held, "done")
            world.cancel(job)
            assert done.result().applied
        assert world.land(job) == "cancelled"
        assert world.operation(job, "left", "undo") is not None


def test_given_a_named_lease_then_one_holder_at_a_time_and_the_fence_grows(world: World) -> None:
    first = leases.acquire(world.db, "relay", "a", 10)
    assert first == 1
    assert leases.acquire(world.db, "relay", "b", 10) is None
    assert leases.renew(world.db, "relay", first, 10)
    world.let_pass(11)
    second = leases.acquire(world.db, "relay", "b", 10)
    assert second == 2
    assert not leases.renew(world.db, "relay", first, 10)
    assert not leases.release(world.db, "relay", first)
    assert leases.release(world.db, "relay", second)
    assert leases.acquire(world.db, "relay", "a", 10) == 3


def test_given_a_named_lease_that_nobody_ever_had_when_many_come_at_once_then_one_has_it(
    world: World,
) -> None:
    for name in map(str, range(10)):
        at_once = Barrier(4)

        def come(holder: str, name: str = name, at_once: Barrier = at_once) -> int | None:
            at_once.wait(20)
            return leases.acquire(world.db, name, holder, 60)

        with ThreadPoolExecutor(4) as pool:
            fences = list(pool.map(come, "abcd"))
        assert sorted(fences, key=str) == [1, None, None, None]


def test_given_a_not_yet_then_the_step_is_asked_again_and_no_attempt_is_lost(
    world: World, service: Participant
) -> None:
    service.script["left", "action"] = [NotYet(5)] * 7
    job = world.submit()
    assert world.land(job) == "completed"
    assert service.calls["left", "action"] == 8


@pytest.mark.parametrize("injected", ["stranded", "idle"])
def test_given_a_row_left_behind_by_a_mistake_then_the_next_sweep_heals_it(
    world: World, injected: str
) -> None:
    job = world.submit()
    if injected == "stranded":
        with world.db.begin() as tx:
            tx.execute(
                update(operations)
                .where(operations.c.job_id == job, operations.c.step == "first")
                .values(state="pending", ready_at=None)
            )
        world.broker.waiting.clear()
    else:
        world.drain()
        with world.db.begin() as tx:
            tx.execute(
                delete(history).where(history.c.job_id == job, history.c.event == "job_completed")
            )  # its last line
            tx.execute(
                update(jobs)
                .where(jobs.c.id == job)
                .values(state="running", finished_at=None, seq=jobs.c.seq - 1)
            )
    assert world.broken() != {}
    found = world.sweep()
    assert found[injected] == 1
    assert world.land(job) == "completed"
