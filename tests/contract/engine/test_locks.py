"""Semantic locks: all of a job's keys or none, first come first served, held to the very end."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import insert, select

from surefoot.app.engine.jobs import attempt, claiming
from surefoot.app.engine.jobs import operations as attempts
from surefoot.app.engine.operators.redrive import redrive_job
from surefoot.app.engine.operators.resubmit import Asked
from surefoot.app.engine.worker.gates import take_locks
from surefoot.app.errors import Conflict
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.locking import Shared
from surefoot.app.saga.outcomes import Rejected
from surefoot.app.saga.policies import Retry
from surefoot.app.store.claims import Holder
from surefoot.app.store.ids import new_id
from surefoot.app.store.session import reading
from surefoot.app.store.tables import lock_waiters, locks, tenants
from tests.support.world import BOOT, LEASE_S, Participant, World


class Wanted(BaseModel):
    keys: list[str] = ["a"]


def keys_of(o: Any) -> list[str]:
    """What the input asks for; `*a` is `a` of all tenants."""
    return [Shared(key[1:]) if key.startswith("*") else key for key in o.keys]


def saga_of(name: str, service: Participant, **more: Any) -> Saga[Any]:
    """work -> seal: two steps, of which the first can be undone."""
    saga = Saga(name, version=1, input=Wanted, locks=keys_of, **more)

    @saga.step(lane="a", retry=Retry(limit=2))
    def work(ctx: Any, o: Any) -> str:
        return service.act(ctx)

    @work.compensate(fidelity="exact", retry=Retry(limit=1))
    def undo_work(ctx: Any, o: Any) -> None:
        service.act(ctx)

    @saga.step(lane="b")
    def seal(ctx: Any, o: Any) -> str:
        return service.act(ctx)

    @seal.compensate(fidelity="exact")
    def undo_seal(ctx: Any, o: Any) -> None:
        service.act(ctx)

    return saga


def forked(service: Participant) -> Saga[Any]:
    """Two roots side by side."""
    saga = Saga("forked", version=1, input=Wanted, locks=keys_of)
    for name in ("left", "right"):

        def root(ctx: Any, o: Any) -> str:
            return service.act(ctx)

        root.__name__ = name
        saga.step(lane=name, after=[], undo=None)(root)
    return saga


@pytest.fixture
def service() -> Participant:
    return Participant()


@pytest.fixture
def url(request: pytest.FixtureRequest) -> str:
    """SQLite, unless a test says `both`: what differs between the two is how decisions are kept apart."""
    return str(request.getfixturevalue(getattr(request, "param", "sqlite_url")))


both = pytest.mark.parametrize(
    "url", ["sqlite_url", "ready_postgres"], indirect=True, ids=["sqlite", "postgresql"]
)


@pytest.fixture
def world(url: str, service: Participant) -> Iterator[World]:
    sagas = [
        saga_of("polite", service, lock_wait="10m"),
        saga_of("hasty", service, on_locked="fail"),
        forked(service),
    ]
    world = World(url, sagas, service)
    try:
        yield world
        assert world.broken() == {}
    finally:
        world.db.dispose()


def ask(world: World, *keys: str, saga: str = "polite") -> str:
    world.saga = saga
    return world.submit(input={"keys": list(keys)})


def held(world: World) -> dict[str, str]:
    with reading(world.db) as c:
        return {row.key: row.job_id for row in c.execute(select(locks))}


def in_line(world: World) -> list[tuple[str, str]]:
    with reading(world.db) as c:
        return [
            (row.key, row.job_id)
            for row in c.execute(
                select(lock_waiters).order_by(lock_waiters.c.key, lock_waiters.c.place)
            )
        ]


def first_step(world: World, job_id: str) -> Any:
    rung = next(r for r in world.broker.waiting if r.message.job_id == job_id)
    world.broker.waiting.remove(rung)
    return world.deliver(rung)


def wait_of(world: World, job_id: str, step: str = "work") -> tuple[str, str | None]:
    row = world.operation(job_id, step)
    return row.state, row.wait_reason


@both
def test_given_a_free_key_when_the_first_step_runs_then_it_is_held_until_the_job_has_ended(
    world: World,
) -> None:
    job = ask(world, "b", "a", "b")
    assert held(world) == {}
    first_step(world, job)
    assert held(world) == {"a": job, "b": job}
    world.drain()
    assert (world.state(job), held(world), in_line(world)) == ("completed", {}, [])


@both
def test_given_a_held_key_when_another_job_comes_then_it_waits_without_an_attempt_and_goes_on_at_once(
    world: World,
) -> None:
    one, two = ask(world, "a"), ask(world, "a")
    first_step(world, one)
    performed = first_step(world, two)
    row = world.operation(two, "work")
    assert performed.verdict == "parked"
    assert (row.state, row.wait_reason, row.max_attempts - row.attempts, row.unknown_outcomes) == (
        "waiting",
        "lock",
        2,
        0,
    )
    assert row.due_at is not None
    assert world.events(two) == ["submitted", "lock_waiting work"]
    world.drain()  # no sweep: the end of the first rings the second
    assert [world.state(one), world.state(two)] == ["completed", "completed"]
    assert world.service.steps() == ["work", "seal", "work", "seal"]
    assert "lock_taken work" in world.events(two)


def test_given_no_keys_for_this_input_when_run_then_nothing_is_held_and_nobody_waits(
    world: World,
) -> None:
    one, two = ask(world), ask(world)
    first_step(world, one)
    assert first_step(world, two).verdict == "completed"
    assert held(world) == {}
    world.drain()


@both
def test_given_three_who_wait_when_each_ends_then_the_next_is_the_one_who_came_first(
    world: World,
) -> None:
    jobs = [ask(world, "a") for _ in range(4)]
    order = [jobs[0], jobs[2], jobs[1], jobs[3]]
    for job in order:
        first_step(world, job)
    world.drain()
    done = [key.split(":")[0] for key in world.service.done if ":seal:" in key]
    assert done == order


def test_given_a_waiter_for_two_keys_when_a_later_job_wants_the_free_one_then_it_does_not_overtake(
    world: World,
) -> None:
    holder, both, later = ask(world, "a"), ask(world, "a", "b"), ask(world, "b")
    for job in (holder, both, later):
        first_step(world, job)
    assert held(world) == {"a": holder}
    assert wait_of(world, later) == ("waiting", "lock")
    world.let_pass(31)
    world.sweep()
    first_step(world, later)  # it looks by itself, while the one before it is not at it
    assert wait_of(world, later) == ("waiting", "lock")
    world.drain()
    assert [key.split(":")[0] for key in world.service.done if ":work:" in key] == [
        holder,
        both,
        later,
    ]


def test_given_two_jobs_that_wait_for_each_others_keys_when_run_then_neither_holds_one_of_two(
    world: World,
) -> None:
    first, ab, ba = ask(world, "a"), ask(world, "a", "b"), ask(world, "b", "a")
    for job in (first, ab, ba):
        first_step(world, job)
    world.drain()
    assert {world.state(job) for job in (first, ab, ba)} == {"completed"}


@both
def test_given_overlapping_sets_in_any_order_when_many_jobs_run_then_all_land_and_no_key_has_two(
    world: World,
) -> None:
    dice = random.Random(7)
    jobs = [ask(world, *dice.sample("abcd", dice.randint(1, 3))) for _ in range(14)]
    for step in range(600):
        if not world.broker.waiting:
            world.let_pass(1.5)
            world.sweep()
            if all(world.state(job) in ("completed", "cancelled") for job in jobs):
                break
            continue
        world.deliver(world.broker.waiting.pop(dice.randrange(len(world.broker.waiting))))
        if step in (6, 15):
            with contextlib.suppress(Conflict):  # it has ended already
                world.cancel(jobs[step // 2])
    assert all(world.state(job) in ("completed", "cancelled") for job in jobs)
    assert (held(world), in_line(world)) == ({}, [])


def test_given_policy_fail_when_the_key_is_held_then_failed_with_nothing_done_and_the_holder_named(
    world: World,
) -> None:
    one, two = ask(world, "a"), ask(world, "a", saga="hasty")
    first_step(world, one)
    first_step(world, two)
    job = world.job(two)
    assert (job.state, job.cause) == ("failed", "failed")
    assert job.reason == f"the lock a is held by job {one}"
    assert world.operations(two) == {"work.action": "failed", "seal.action": "dropped"}
    assert world.letters(two) == []
    assert in_line(world) == []
    world.drain()


def other_tenant(world: World) -> None:
    """Who asks from now on is of another tenant."""
    with world.db.begin() as tx:
        world.tenant = new_id()
        tx.execute(tenants.insert().values(id=world.tenant, name="other"))


@both
def test_given_two_tenants_with_one_key_when_both_run_then_neither_waits_for_the_other(
    world: World,
) -> None:
    one = ask(world, "a")
    first_step(world, one)
    other_tenant(world)
    two, three = ask(world, "a"), ask(world, "a")
    first_step(world, two)
    first_step(world, three)
    assert set(held(world).values()) == {one, two}
    assert wait_of(world, three) == ("waiting", "lock")
    assert world.events(three)[1:] == ["lock_waiting work"]
    world.drain()
    assert [world.state(job) for job in (one, two, three)] == ["completed"] * 3
    assert (held(world), in_line(world)) == ({}, [])


@both
def test_given_a_bare_key_from_before_when_its_tenant_wants_it_then_it_still_excludes(
    world: World,
) -> None:
    other_tenant(world)
    holder, waiter, later = ask(world, "a"), ask(world, "a"), ask(world, "a")
    first_step(world, holder)
    first_step(world, waiter)
    with world.db.begin() as tx:  # as the release before had written them
        tx.execute(locks.update().values(key="a"))
        tx.execute(lock_waiters.update().values(key="a"))
    first_step(world, later)
    assert wait_of(world, later) == ("waiting", "lock")
    assert world.land(holder) == "completed"
    assert [key.split(":")[0] for key in world.service.done if ":work:" in key] == [
        holder,
        waiter,
        later,
    ]
    assert [world.state(job) for job in (waiter, later)] == ["completed"] * 2
    assert (held(world), in_line(world)) == ({}, [])


def test_given_a_bare_key_in_line_when_offered_again_then_behind_who_has_the_new_one(
    world: World,
) -> None:
    other_tenant(world)
    first, from_before = ask(world, "a"), ask(world, "a")
    first_step(world, first)
    first_step(world, from_before)
    with world.db.begin() as tx:
        tx.execute(lock_waiters.update().values(key="a"))
    world.let_pass(31)
    world.sweep()
    first_step(world, from_before)
    assert wait_of(world, from_before) == ("waiting", "lock")
    world.drain()  # no sweep: the end of the first rings the second
    assert [world.state(job) for job in (first, from_before)] == ["completed"] * 2


def test_given_the_key_of_the_default_tenant_then_it_is_spelled_as_releases_before_spell_it(
    world: World,
) -> None:
    job = ask(world, "a", "*a")
    first_step(world, job)
    assert sorted(held(world)) == ["a", "a\x1f*"]
    with world.db.begin() as tx:
        tx.execute(insert(locks).values(key="b", job_id=job))  # of the release before
    waits = ask(world, "b")
    first_step(world, waits)
    assert wait_of(world, waits) == ("waiting", "lock")
    world.drain()


def test_given_a_holder_of_another_tenant_when_refused_then_its_job_is_not_named(
    world: World,
) -> None:
    one = ask(world, "*a")
    first_step(world, one)
    other_tenant(world)
    two, three = ask(world, "*a", saga="hasty"), ask(world, "*a")
    first_step(world, two)
    first_step(world, three)
    assert world.job(two).reason == "the lock a is held by another job"
    assert one not in str(world.events(three))
    world.drain()


@both
def test_given_a_wait_longer_than_it_may_take_when_its_time_is_over_then_a_failure_of_its_own_kind(
    world: World,
) -> None:
    one, two, three = ask(world, "a"), ask(world, "a"), ask(world, "a")
    for job in (one, two, three):
        first_step(world, job)
    world.let_pass(500)
    world.sweep()
    first_step(world, two)
    assert wait_of(world, two) == ("waiting", "lock")
    assert world.events(two).count("lock_waiting work") == 1  # looking again is no news
    world.let_pass(101)
    world.sweep()
    first_step(world, two)
    assert world.state(two) == "failed"
    assert [letter.why for letter in world.letters(two)] == ["lock_timeout"]
    assert [letter.blocking for letter in world.letters(two)] == [False]
    assert [job for _, job in in_line(world)] == [three]
    assert world.land(one) == "completed"


@both
@pytest.mark.parametrize("how", ["cancel", "deadline"])
def test_given_a_job_in_line_when_it_turns_then_it_leaves_and_whom_it_kept_waiting_goes_on(
    world: World, how: str
) -> None:
    holder = ask(world, "a")
    world.saga = "polite"
    both = world.submit(input={"keys": ["a", "b"]}, deadline_s=30 if how == "deadline" else None)
    later = ask(world, "b")
    for job in (holder, both, later):
        first_step(world, job)
    if how == "cancel":
        world.cancel(both)
    else:
        world.let_pass(31)
        world.sweep()
    assert world.state(both) == ("cancelled" if how == "cancel" else "failed")
    assert world.operations(both) == {"work.action": "abandoned", "seal.action": "dropped"}
    assert [job for _, job in in_line(world)] == [later]
    first_step(world, later)
    assert held(world) == {"a": holder, "b": later}
    world.land(holder)
    world.land(later)


@both
def test_given_an_undo_out_of_attempts_when_a_person_is_asked_then_the_lock_is_held_until_they_have_decided(
    world: World,
) -> None:
    world.service.script["seal", "action"] = [Rejected("no")]
    world.service.script["work", "undo"] = [RuntimeError("down")]
    one, two = ask(world, "a"), ask(world, "a")
    first_step(world, one)
    first_step(world, two)
    assert world.land(one) == "attention"
    world.let_pass(40)
    world.sweep()
    world.drain()
    assert (held(world), wait_of(world, two)) == ({"a": one}, ("waiting", "lock"))
    world.rung(redrive_job(world.entrance, one, Asked("test", "it is back")))
    assert held(world) == {"a": one}
    world.drain()
    assert [world.state(one), world.state(two)] == ["failed", "completed"]


def test_given_two_roots_when_one_has_taken_the_locks_then_the_other_has_them_too(
    world: World,
) -> None:
    one, two = ask(world, "a", saga="forked"), ask(world, "a", saga="forked")
    first_step(world, one)
    first_step(world, two)
    first_step(world, two)
    assert [wait_of(world, two, step) for step in ("left", "right")] == [("waiting", "lock")] * 2
    assert len(in_line(world)) == 1
    world.drain()
    assert [world.state(one), world.state(two)] == ["completed", "completed"]


def claim(world: World, job_id: str) -> attempt.Attempt:
    row = world.operation(job_id, "work")
    limits = world.registry.get("polite").graph.by_name["work"].limits  # type: ignore[union-attr]
    got = claiming.claim(
        world.db,
        claiming.claim_request(world.settings, row.id, limits, Holder(worker_id=BOOT, pid=1)),
    )
    assert got is not None
    return got


def test_given_a_worker_dead_between_claim_and_lock_when_the_next_finds_it_held_then_nothing_counts_as_done(
    world: World,
) -> None:
    one, two = ask(world, "a"), ask(world, "a")
    claim(world, two)
    first_step(world, one)
    world.let_pass(LEASE_S + 1)
    world.sweep()
    assert world.operation(two, "work").unknown_outcomes == 1
    first_step(world, two)
    assert world.operation(two, "work").unknown_outcomes == 0
    world.cancel(two)
    assert (world.state(two), world.operation(two, "work", "undo")) == ("cancelled", None)
    world.drain()


def test_given_a_frozen_worker_when_it_wakes_after_its_lease_then_it_takes_no_lock(
    world: World,
) -> None:
    one = ask(world, "a")
    frozen = claim(world, one)
    world.let_pass(LEASE_S + 1)
    world.sweep()
    ended = take_locks(world.db, world.settings, frozen, ("a",), "default")
    assert isinstance(ended, attempt.TransitionResult)
    assert not ended.applied
    assert held(world) == {}
    world.drain()


def test_given_a_dead_holder_when_its_step_is_taken_over_then_the_lock_was_held_all_along(
    world: World,
) -> None:
    one, two = ask(world, "a"), ask(world, "a")
    dead = claim(world, one)
    assert take_locks(world.db, world.settings, dead, ("a",), "default") is None
    first_step(world, two)
    world.broker.flush()
    world.let_pass(LEASE_S + 1)
    world.sweep()
    world.sweep()
    assert held(world) == {"a": one}
    assert world.land(two, pass_s=5) == "completed"
    assert [step for step, _ in world.service.order] == ["work", "seal"] * 2


def test_given_a_turn_between_claim_and_lock_when_it_asks_then_nothing_is_taken_and_nothing_undone(
    world: World,
) -> None:
    one = ask(world, "a")
    caught = claim(world, one)
    world.cancel(one)
    failure = take_locks(world.db, world.settings, caught, ("a",), "default")
    assert isinstance(failure, attempt.Failure)
    attempts.fail(world.db, world.settings, caught, failure)
    assert (world.state(one), held(world), world.service.order) == ("cancelled", {}, [])


def test_given_a_wake_up_that_was_lost_when_it_is_due_then_it_looks_by_itself(world: World) -> None:
    one, two = ask(world, "a"), ask(world, "a")
    first_step(world, one)
    first_step(world, two)
    world.drain()
    assert world.state(two) == "completed"
    three, four = ask(world, "a"), ask(world, "a")
    first_step(world, three)
    first_step(world, four)
    with world.db.begin() as tx:
        tx.execute(locks.delete())  # nobody's end woke him
    world.let_pass(31)
    world.sweep()
    first_step(world, four)
    assert held(world) == {"a": four}
    world.drain()


@pytest.mark.parametrize(
    "keys",
    [["x" * 201], [" a"], ["a\nb"], [str(n) for n in range(17)]],
    ids=["long", "space", "newline", "many"],
)
def test_given_keys_that_are_none_when_asked_for_then_refused_with_nothing_done(
    world: World, keys: list[str]
) -> None:
    job = ask(world, *keys)
    world.drain()
    assert (world.state(job), world.service.order) == ("failed", [])
    assert "locks= gave" in world.job(job).reason


@both
def test_given_eight_threads_when_jobs_with_shared_keys_race_then_no_deadlock_and_no_lost_wake_up(
    url: str, service: Participant
) -> None:
    world = World(url, [saga_of("polite", service)], service)
    dice = random.Random(3)
    jobs = [world.submit(input={"keys": dice.sample("abc", dice.randint(1, 3))}) for _ in range(24)]

    def run() -> None:
        while True:
            try:
                rung = world.broker.waiting.pop(0)
            except IndexError:
                return
            world.deliver(rung)

    with ThreadPoolExecutor(8) as pool:
        for _ in range(60):
            for future in [pool.submit(run) for _ in range(8)]:
                future.result(60)
            if not world.broker.waiting:
                break
    assert {world.state(job) for job in jobs} == {
        "completed"
    }  # without one sweep: every wake-up came
    assert (held(world), in_line(world), world.broken()) == ({}, [], {})
    world.db.dispose()
