"""Whoever comes too late, twice, or for somebody else changes nothing: heartbeats, children, relays, people, messages."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest

from surefoot.app.engine.jobs import operations as attempts
from surefoot.app.engine.jobs.attempt import Attempt
from surefoot.app.engine.jobs.dead_letters import open_letter, require_attention
from surefoot.app.engine.jobs.transaction import JobTransaction
from surefoot.app.engine.operators import decisions, redrive
from surefoot.app.engine.operators.resubmit import Asked
from surefoot.app.engine.worker import leases
from surefoot.app.errors import Conflict
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.registry import Registry
from surefoot.app.store import dead_letters, job_writes, operation_reads, tables
from surefoot.app.store.catalogue import register
from surefoot.app.store.claims import Holder
from surefoot.app.store.session import reading
from surefoot.app.store.tables import jobs
from tests.contract.engine.test_leases_and_zombies import ready_to_fork
from tests.support.world import BOOT, LEASE_S, Participant, Thing, World


def held(
    world: World, job: str, step: str = "left", *, worker_id: str = BOOT, pid: int = 1
) -> Attempt:
    attempt = world.claim(job, step, worker_id=worker_id, pid=pid)
    assert attempt is not None
    return attempt


def lost_to_another(world: World, job: str) -> tuple[Attempt, Attempt]:
    """(what held the step until its lease ran out, what holds it now)."""
    old = held(world, job)
    world.broker.waiting.clear()
    world.let_pass(LEASE_S + 1)
    world.sweep()
    return old, held(world, job, worker_id="other")


# --- workers -----------------------------------------------------------------------------------------------------
def test_given_a_worker_that_lost_its_lease_when_it_beats_then_the_others_is_not_renewed(
    world: World,
) -> None:
    job = ready_to_fork(world)
    old, new = lost_to_another(world, job)
    until = world.operation(job, "left").lease_until
    assert leases.renew_leases(
        world.db, world.settings, BOOT, [old.operation_id]
    ) == leases.HeartbeatResult(0, ())
    assert world.operation(job, "left").lease_until == until
    assert leases.renew_leases(world.db, world.settings, "other", [new.operation_id]).renewed == 1
    assert world.complete(new, "fresh").applied
    assert world.land(job) == "completed"


def test_given_a_killed_child_when_its_successor_has_the_claim_then_that_one_goes_on(
    world: World,
) -> None:
    job = ready_to_fork(world)
    first = held(world, job, pid=77)
    world.broker.waiting.clear()
    world.let_pass(LEASE_S + 1)
    world.sweep()
    successor = held(world, job, pid=78)
    assert not leases.report_child_lost(
        world.db,
        world.settings,
        world.broker,
        Holder(worker_id=BOOT, pid=77, message=first.operation_id),
        "SIGKILL",
    )
    row = world.operation(job, "left")
    assert (row.state, row.token, row.pid) == ("running", successor.token, 78)
    assert world.complete(successor, "done").applied
    assert world.land(job) == "completed"


def test_given_a_step_that_was_told_to_stop_when_its_worker_shuts_down_then_it_is_not_queued_again(
    world: World, service: Participant
) -> None:
    job = ready_to_fork(world)
    held(world, job)
    assert world.cancel(job).applied and world.operation(job, "left").stop_requested
    assert leases.release_on_shutdown(world.db, world.broker, BOOT) == 1
    assert world.operation(job, "left").state == "abandoned"
    assert world.land(job) == "cancelled"
    assert (
        service.calls["left", "action"] == 0
        and world.operation(job, "left", "undo").state == "completed"
    )


def test_given_a_zombie_that_parks_then_the_one_that_runs_is_left_alone(world: World) -> None:
    job = ready_to_fork(world)
    old, new = lost_to_another(world, job)
    assert not attempts.park(world.db, old, 5).applied
    row = world.operation(job, "left")
    assert (row.state, row.token, row.max_attempts) == ("running", new.token, 5)
    assert "late_result_refused" in world.events(job)
    assert world.complete(new, "fresh").applied
    assert world.land(job) == "completed"


def test_given_a_step_that_runs_when_its_message_comes_to_a_worker_without_the_definition_then_it_runs_on(
    world: World,
) -> None:
    job = ready_to_fork(world)
    attempt, known = held(world, job), world.registry
    world.registry = Registry()
    assert world.deliver(world.next("diamond.left")).verdict == "dropped"
    assert world.operation(job, "left").state == "running"
    world.registry = known
    assert world.complete(attempt, "done").applied
    assert world.land(job) == "completed"


def test_given_two_versions_in_one_worker_then_each_job_is_done_by_the_code_that_it_is_pinned_to(
    world: World,
) -> None:
    ran: list[int] = []

    def of(version: int) -> Saga[Any]:
        saga: Saga[Any] = Saga("pinned", version=version, input=Thing)

        @saga.step(lane="a", undo=None, timeout=10 + version)
        def only(ctx: Any, o: Any) -> None:
            ran.append(version)

        return saga

    old, new = of(1), of(2)
    world.saga, pinned = "pinned", []
    for registered in (old, new):
        register(world.db, [registered])
        world.registry = Registry([*world.registry.all(), registered])
        pinned.append(world.submit())
    world.drain()
    assert ran == [1, 2]
    assert [world.state(job) for job in pinned] == ["completed", "completed"]


# --- the relay ---------------------------------------------------------------------------------------------------
def test_given_a_relay_that_saw_a_lease_run_out_when_it_is_renewed_or_taken_before_the_relay_acts_then_that_stands(
    world: World,
) -> None:
    job = ready_to_fork(world)
    old = held(world, job)
    world.let_pass(LEASE_S + 1)
    with reading(world.db) as connection:
        (seen,) = operation_reads.expired(connection, 10)
    assert leases.renew_leases(world.db, world.settings, BOOT, [old.operation_id]).renewed == 1
    assert not attempts.expire(world.db, world.settings, seen.id, seen.job_id, seen.token).applied
    world.let_pass(LEASE_S + 1)
    new = held(world, job, worker_id="other")
    world.let_pass(LEASE_S + 1)  # also the new one's has run out: it is not the one that was seen
    assert not attempts.expire(world.db, world.settings, seen.id, seen.job_id, seen.token).applied
    row = world.operation(job, "left")
    assert (row.state, row.token) == ("running", new.token)
    assert world.land(job) == "completed"


def test_given_a_relay_that_saw_nobody_come_when_somebody_comes_before_it_acts_then_that_stands(
    world: World,
) -> None:
    job = ready_to_fork(world)
    left = world.operation(job, "left")
    assert not attempts.nobody_came(world.db, world.settings, left.id, job).applied
    attempt = held(world, job)
    world.let_pass(left.queue_s + 1)
    assert not attempts.nobody_came(world.db, world.settings, left.id, job).applied
    assert world.operation(job, "left").state == "running"
    assert world.complete(attempt, "done").applied
    assert world.land(job) == "completed"


def test_given_a_broker_that_comes_back_with_its_marker_then_what_was_sent_is_rung_again(
    world: World,
) -> None:
    job = ready_to_fork(world)
    world.broker.down = True
    world.sweep()
    world.broker.waiting.clear()  # its last seconds are gone, and its marker is there
    world.broker.down = False
    assert world.broker.mark is not None
    assert world.sweep().get("broker_lost") == 2
    world.let_pass(world.settings.unsent_seconds + 1)
    world.sweep()
    world.drain()
    assert world.state(job) == "completed"
    assert world.sweep().get("broker_lost") is None


def test_given_a_lane_whose_queue_is_full_then_nothing_of_it_is_rung_again_before_its_longer_bound(
    world: World,
) -> None:
    job = ready_to_fork(world)
    before = world.broker.published.total()
    world.let_pass(LEASE_S + 1)
    assert world.sweep() == {}
    world.next("diamond.left")
    assert world.sweep() == {"lost": 1}
    assert world.broker.published.total() == before + 1
    assert world.land(job) == "completed"


# --- people ------------------------------------------------------------------------------------------------------
def asked_about(world: World, job: str, step: str, *, blocking: bool = True) -> str:
    """A letter about an operation, whatever its state. Returns the letter's id."""
    with world.db.begin() as tx:
        move = JobTransaction(tx, job)
        row = operation_reads.operation(tx, world.operation(job, step).id)
        assert row is not None
        error = {"type": "X", "message": "asked"}
        if blocking:
            require_attention(move, row, why="exhausted", error=error)
        else:
            open_letter(move, row, why="exhausted", error=error, blocking=False)
        move.close()
    (letter,) = world.letters(job)
    return str(letter.id)


DECISIONS = {
    "done": decisions.mark_done,
    "waive": decisions.waive,
    "absent": lambda db, letter, actor, why, settings=None: decisions.mark_absent(
        db, settings, letter, actor, why
    ),
}


@pytest.mark.parametrize("decision", DECISIONS)
def test_given_a_step_that_runs_when_a_person_decides_what_became_of_it_then_refused_and_it_runs_on(
    world: World, decision: str
) -> None:
    job = ready_to_fork(world)
    attempt = held(world, job)
    letter = asked_about(world, job, "left")
    more = {"settings": world.settings} if decision == "absent" else {}
    with pytest.raises(Conflict, match="running and goes on by itself"):
        DECISIONS[decision](world.db, letter, "anna", "w", **more)
    row = world.operation(job, "left")
    assert (row.state, row.token, row.resolution) == ("running", attempt.token, None)
    assert world.complete(attempt, "done").applied
    with world.db.begin() as tx:
        assert dead_letters.close(tx, letter, resolution="discarded", actor="test", why="seen")
        job_writes.change_job(tx, job, {"state": "running", "attention_since": None})
    assert world.land(job) == "completed"


def test_given_a_letter_that_holds_no_job_when_decided_then_refused(world: World) -> None:
    job = ready_to_fork(world)
    letter = asked_about(world, job, "left", blocking=False)
    for decision in (decisions.retry, decisions.mark_done, decisions.waive):
        with pytest.raises(Conflict, match="holds no job"):
            decision(world.db, letter, "anna", "w")
    assert world.operation(job, "left").resolution is None
    assert world.land(job) == "completed"


def test_given_a_job_that_has_ended_when_decided_then_refused_and_it_stays(
    world: World, service: Participant
) -> None:
    service.script["left", "action"] = [RuntimeError("down")] * 80
    job = world.submit()
    assert world.land(job) == "failed"
    (letter,) = world.letters(job)
    with world.db.begin() as tx:  # as if it held the job: it is over all the same
        tx.execute(letter_blocks(letter.id))
    for decision in (decisions.retry, decisions.mark_done, decisions.waive):
        with pytest.raises(Conflict, match="the job has ended"):
            decision(world.db, letter.id, "anna", "w")
    with world.db.begin() as tx:
        tx.execute(letter_blocks(letter.id, False))
    assert world.state(job) == "failed" and world.operation(job, "left").state == "failed"


def letter_blocks(letter_id: str, blocking: bool = True) -> Any:
    d = tables.dead_letters
    return d.update().where(d.c.id == letter_id).values(blocking=blocking)


def test_given_two_who_read_one_letter_open_when_both_send_it_back_then_one_new_job(
    world: World, service: Participant
) -> None:
    service.script["left", "action"] = [RuntimeError("down")] * 80
    job = world.submit()
    assert world.land(job) == "failed"
    (letter,) = world.letters(job)
    service.script.clear()
    again, sent = redrive.resubmit, []

    def meanwhile(*args: Any, **more: Any) -> Any:
        """The other has read the letter open as well, and is faster; its new job fails before the slower one looks."""
        with mock.patch.object(redrive, "resubmit", again):
            sent.append(redrive.redrive_letter(world.entrance, letter.id, Asked("bert", "w")))
        world.rung(sent[0])
        service.script["left", "action"] = [RuntimeError("down")] * 80
        assert (
            world.land(sent[0].job_id) == "failed"
        )  # so there is no re-run that stands: only the letter says that it was answered
        return again(*args, **more)

    with mock.patch.object(redrive, "resubmit", meanwhile), pytest.raises(Conflict):
        redrive.redrive_letter(world.entrance, letter.id, Asked("anna", "w"))
    assert world.count(jobs) == 2
    (closed,) = world.letters(job, "closed")
    assert (closed.resolved_by, closed.retried_as) == ("bert", sent[0].job_id)
