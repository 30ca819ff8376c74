"""Two transactions of one job on PostgreSQL, the second made to wait in the middle of the first: what it then finds decides.

On SQLite there is one writer, so nothing of this can happen there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, select, text

from surefoot.app.engine.jobs.compensation import Ground, start_compensation
from surefoot.app.engine.jobs.submit import Submission, submit
from surefoot.app.engine.jobs.transaction import JobTransaction
from surefoot.app.engine.operators import decisions
from surefoot.app.rules.states import Cause
from surefoot.app.store import attempt_writes, job_reads, job_writes
from surefoot.app.store.claims import ClaimRequest
from surefoot.app.store.tables import jobs, operations
from tests.contract.engine.test_leases_and_zombies import ready_to_fork
from tests.support.waiting import wait_until
from tests.support.world import BOOT, LEASE_S, Participant, World

pytestmark = pytest.mark.parametrize("ready_url", ["postgresql"], indirect=True)


@contextmanager
def beside(
    world: World, *work: Callable[[], Any]
) -> Iterator[tuple[Connection, Callable[[], list[Future[Any]]]]]:
    """(a transaction, what starts `work` beside it and comes back when each of it is done or waits for a lock)."""
    asked = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    with ThreadPoolExecutor(len(work)) as pool:

        def start() -> list[Future[Any]]:
            started = [pool.submit(one) for one in work]

            def each_done_or_waits() -> bool:
                with world.db.connect() as connection:
                    waiting = connection.execute(asked).scalar_one()
                return sum(future.done() for future in started) + int(waiting) >= len(started)

            wait_until(each_done_or_waits, every_s=0.01, what="the other one to be done or to wait")
            return started

        with world.db.begin() as tx:
            yield tx, start


def turned(tx: Connection, job: str) -> None:
    move = JobTransaction(tx, job)
    assert start_compensation(move, Ground(Cause.CANCEL, "meanwhile"), undo_s=100)
    move.close()


def forked(world: World) -> str:
    """A job whose two arms wait for a claim; nothing of it is on its way."""
    job = ready_to_fork(world)
    world.broker.waiting.clear()
    return job


def test_given_a_turn_under_way_when_a_step_completes_then_nothing_goes_forward(
    world: World, service: Participant
) -> None:
    job = forked(world)
    held = world.claim(job, "left")
    assert held is not None
    with beside(world, lambda: world.complete(held, "done")) as (tx, start):
        turned(tx, job)
        (completed,) = start()
    ended = completed.result()
    assert ended.applied and ended.turned
    assert world.land(job) == "cancelled"
    assert world.operation(job, "left", "undo").state == "completed"
    assert {step: world.operation(job, step).state for step in ("right", "commit")} == {
        "right": "dropped",
        "commit": "dropped",
    }


@pytest.mark.parametrize("rides", [False, True], ids=["by message", "run on"])
def test_given_the_last_two_arms_complete_behind_one_lock_then_the_join_is_released_and_claimed_once(
    world: World, rides: bool
) -> None:
    job = forked(world)
    held = {step: world.claim(job, step) for step in ("left", "right")}
    join = world.operation(job, "commit").id

    def complete(step: str) -> Any:
        attempt = held[step]
        assert attempt is not None
        return world.complete(
            attempt,
            step,
            then=ClaimRequest(join, BOOT, 1, attempt.operation_id, LEASE_S, 60.0)
            if rides
            else None,
        )

    with beside(world, lambda: complete("left"), lambda: complete("right")) as (tx, start):
        job_reads.lock_job(tx, job)
        started = start()
    ended = [future.result() for future in started]
    assert sorted(len(one.released) for one in ended) == [0, 1]
    row = world.operation(job, "commit")
    assert (row.pending_dependencies, row.state, row.attempts) == (
        0,
        "running" if rides else "queued",
        int(rides),
    )
    following = [one.following for one in ended if one.following is not None]
    assert [one.token for one in following] == ([row.token] if rides else [])
    for attempt in following:
        assert world.complete(attempt, "commit").applied
    assert world.land(job) == "completed"


def test_given_a_claim_of_the_pivot_under_way_when_cancelled_then_it_is_too_late(
    world: World,
) -> None:
    job = world.submit()
    for step in ("first", "left", "right"):
        world.deliver(world.next(f"diamond.{step}"))
    world.broker.waiting.clear()
    pivot = world.operation(job, "commit").id
    with beside(world, lambda: world.cancel(job)) as (tx, start):
        assert (
            attempt_writes.claim_operation(tx, ClaimRequest(pivot, BOOT, 1, pivot, LEASE_S, 60.0))
            is not None
        )
        (cancelled,) = start()
    assert not cancelled.result().applied
    world.let_pass(LEASE_S + 1)
    world.sweep()
    assert world.land(job) == "completed"


def test_given_a_turn_under_way_when_a_step_is_claimed_then_nobody_has_it(world: World) -> None:
    job = forked(world)
    with beside(world, lambda: world.claim(job, "left")) as (tx, start):
        turned(tx, job)
        (claimed,) = start()
    assert claimed.result() is None
    assert world.land(job) == "cancelled"


def test_given_a_step_claimed_by_two_at_once_then_the_second_finds_it_taken(world: World) -> None:
    job = forked(world)
    left = world.operation(job, "left").id
    with beside(world, lambda: world.claim(job, "left", worker_id="other")) as (tx, start):
        assert (
            attempt_writes.claim_operation(tx, ClaimRequest(left, BOOT, 1, left, LEASE_S, 60.0))
            is not None
        )
        (claimed,) = start()
    assert claimed.result() is None
    assert world.operation(job, "left").attempts == 1
    world.let_pass(LEASE_S + 1)
    world.sweep()
    assert world.land(job) == "completed"


def test_given_somebody_who_holds_a_row_when_timers_wake_then_the_others_wake_beside_it(
    world: World, service: Participant
) -> None:
    job_ids = []
    for _ in range(3):
        service.script["first", "action"] = [RuntimeError("once")]
        job_ids.append(world.submit())
        world.drain()
    world.let_pass(61)
    held, *others = (world.operation(job, "first") for job in job_ids)
    with beside(world, lambda: world.sweep()) as (tx, start):
        tx.execute(select(operations.c.id).where(operations.c.id == held.id).with_for_update())
        (swept,) = start()
        woken = swept.done()
    assert woken, "the sweep waited for the row"
    assert swept.result() == {"woken": 2}
    assert {world.operation(job, "first").state for job in job_ids[1:]} == {"queued"} and len(
        others
    ) == 2
    assert world.sweep()["woken"] == 1
    assert [world.land(job) for job in job_ids] == ["completed"] * 3


def test_given_one_key_sent_twice_at_once_then_one_job_and_both_are_told_of_it(
    world: World,
) -> None:
    asked = Submission(world.tenant, world.saga, {"name": "x"}, "test", key="once")

    def send() -> Any:
        return submit(world.db, world.settings, world.registry, asked)

    earlier = world.submit()
    with beside(world, send, send) as (tx, start):
        assert job_writes.take_idempotency_key(tx, world.tenant, "once", "another's", earlier)
        started = start()
        tx.rollback()
    first, second = (future.result() for future in started)
    assert first.job_id == second.job_id and first.replayed != second.replayed
    assert world.count(jobs) == 2
    assert [world.land(job) for job in (earlier, first.job_id)] == ["completed"] * 2


def test_given_a_turn_under_way_when_cancelled_then_the_job_turns_once(
    world: World, service: Participant
) -> None:
    job = forked(world)
    with beside(world, lambda: world.cancel(job)) as (tx, start):
        turned(tx, job)
        (cancelled,) = start()
    assert cancelled.result().message == "It is being cancelled already."
    assert world.land(job) == "cancelled"
    assert world.events(job).count("compensation_started") == 1 and service.steps("undo") == [
        "first"
    ]


def test_given_a_decision_under_way_when_another_decides_then_it_is_refused(
    world: World, service: Participant
) -> None:
    service.script["after", "action"] = [RuntimeError("down")] * 80
    job = world.submit()
    assert world.land(job) == "attention"
    service.script.clear()
    (letter,) = world.letters(job)
    with beside(world, lambda: decisions.waive(world.db, letter.id, "bert", "let it be")) as (
        tx,
        start,
    ):
        move = JobTransaction(tx, job)
        decisions.retry_in(move, letter, "anna", "again")
        move.close()
        (decided,) = start()
    assert "decided this already" in str(decided.exception())
    assert world.land(job) == "completed"
