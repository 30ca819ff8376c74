"""Lanes are taken in turn by tenant: what one asks for by the hundred, another's one job does not
wait for.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from surefoot.app.engine.jobs.dispatch import publish_plan
from surefoot.app.engine.jobs.fairness import InTurn
from surefoot.app.engine.jobs.submit import Submission, submit
from surefoot.app.saga.definition import Saga
from surefoot.app.store.ids import new_id
from surefoot.app.store.tables import NOBODY, operations, tenants
from tests.support.world import Participant, Thing, World, diamond

WINDOW = 3
FLOOD = 20


def batchable(service: Participant) -> Saga[Any]:
    """One step, on a lane of its own."""
    saga = Saga("batchable", version=1, input=Thing)

    @saga.step(lane="z", undo=None)
    def only(ctx: Any, o: Any) -> str:
        return service.act(ctx)

    return saga


class Turns(World):
    """A world whose publishers let tenants have their turns."""

    def __init__(self, url: str) -> None:
        service = Participant()
        super().__init__(url, [diamond(service), batchable(service)], service, tenant_window=WINDOW)
        self.sweeper.relay.publisher = self.in_turn = InTurn(self.broker, self.db, self.settings)
        self.of: dict[str, str] = {}

    def other(self) -> str:
        tenant = new_id()
        with self.db.begin() as tx:
            tx.execute(tenants.insert().values(id=tenant, name=tenant))
        self.in_turn._asked_at = float("-inf")
        return tenant

    def ask(self, tenant: str, saga: str = "batchable") -> str:
        asked = Submission(tenant_id=tenant, saga=saga, input={"name": "x"}, actor="test")
        done = submit(self.db, self.settings, self.registry, asked)
        publish_plan(self.db, self.in_turn, done.plan)
        self.of[done.job_id] = tenant
        return done.job_id

    def line(self) -> list[str]:
        """Whose messages stand in the broker, in their order."""
        return [self.of[parcel.message.job_id] for parcel in self.broker.waiting]

    def refill(self) -> None:
        self.let_pass(self.settings.unsent_seconds + 0.1)
        self.sweeper.take_turns()


@pytest.fixture
def world(ready_url: str) -> Iterator[Turns]:
    world = Turns(ready_url)
    yield world
    assert world.broken() == {}
    world.db.dispose()


def test_given_a_flood_of_one_tenant_when_another_asks_then_it_stands_behind_one_window(
    world: Turns,
) -> None:
    flood, calm = world.tenant, world.other()
    for _ in range(FLOOD):
        world.ask(flood)
    assert world.line() == [flood] * WINDOW
    job = world.ask(calm)
    assert world.line() == [flood] * WINDOW + [calm]
    for _ in range(WINDOW + 1):
        world.deliver(world.next())
    assert world.state(job) == "completed"
    world.refill()
    assert world.line() == [flood] * WINDOW
    assert world.sweeper.held_back
    for _ in range(FLOOD):
        world.drain()
        world.refill()
    assert {world.state(one) for one in world.of} == {"completed"}
    assert not world.sweeper.held_back


def test_given_one_tenant_when_it_asks_for_many_then_all_leave_at_once(world: Turns) -> None:
    for _ in range(FLOOD):
        world.ask(world.tenant)
    assert len(world.line()) == FLOOD
    world.drain()


def test_given_backlogs_of_three_when_refilled_then_their_messages_leave_in_turn_the_oldest_first(
    world: Turns,
) -> None:
    three = [world.tenant, world.other(), world.other()]
    jobs = {tenant: [world.ask(tenant) for _ in range(WINDOW + 2)] for tenant in three}
    world.drain()
    world.refill()
    order = [(world.of[p.message.job_id], p.message.job_id) for p in world.broker.waiting]
    assert len(order) == 6
    assert len({tenant for tenant, _ in order[:3]}) == len({tenant for tenant, _ in order[3:]}) == 3
    for tenant in three:
        assert [job for whose, job in order if whose == tenant] == jobs[tenant][WINDOW:]
    world.drain()


def test_given_older_ones_that_wait_when_one_comes_to_an_empty_queue_then_it_does_not_overtake(
    world: Turns,
) -> None:
    world.other()
    for _ in range(WINDOW + 1):
        world.ask(world.tenant)
    world.drain()
    world.let_pass(world.settings.unsent_seconds + 0.1)
    late = world.ask(world.tenant)
    assert world.line() == []
    world.sweeper.take_turns()
    assert [p.message.job_id for p in world.broker.waiting].count(late) == 0
    world.refill()
    world.drain()
    assert world.state(late) == "completed"


def test_given_a_lane_that_stands_still_when_full_then_other_lanes_of_the_tenant_go_on(
    world: Turns,
) -> None:
    world.other()
    for _ in range(WINDOW + 2):
        world.ask(world.tenant)
    job = world.ask(world.tenant, "diamond")
    for name in ("first", "left", "right", "commit", "after", "last"):
        world.deliver(world.next(f"diamond.{name}"))
    assert world.state(job) == "completed"
    for _ in range(2):
        world.drain()
        world.refill()


def test_given_a_fork_with_one_lane_full_when_it_opens_then_the_join_comes_once(
    world: Turns,
) -> None:
    world.other()
    jobs = [world.ask(world.tenant, "diamond") for _ in range(WINDOW)]
    while any(p.message.task == "diamond.first" for p in world.broker.waiting):
        world.deliver(world.next("diamond.first"), publisher=world.in_turn)
    one = world.ask(world.tenant, "diamond")
    world.deliver(world.next("diamond.right"), publisher=world.in_turn)
    world.deliver(world.next("diamond.first"), publisher=world.in_turn)
    tasks = [p.message.task for p in world.broker.waiting if p.message.job_id == one]
    assert tasks == ["diamond.right"]
    for _ in range(6):
        world.drain()
        world.refill()
    assert {world.state(job) for job in (*jobs, one)} == {"completed"}
    assert world.service.steps().count("commit") == WINDOW + 1


def test_given_rows_of_the_release_before_then_they_have_their_turn_too(world: Turns) -> None:
    world.other()
    world.broker.down = True
    job = world.ask(world.tenant)
    world.broker.down = False
    with world.db.begin() as tx:
        tx.execute(operations.update().values(tenant_id=NOBODY))
    world.refill()
    world.drain()
    assert world.state(job) == "completed"


@pytest.mark.parametrize("seed", range(3))
def test_given_any_order_of_asking_then_what_is_ready_is_rung_within_a_window_of_each(
    world: Turns, seed: int
) -> None:
    dice = random.Random(seed)
    some = [world.tenant, world.other(), world.other()]
    passed: dict[str, int] = {}  # deliveries since a job's tenant had nothing in line
    for _ in range(80):
        if dice.random() < 0.6:
            job = world.ask(dice.choices(some, (10, 1, 1))[0])
            if world.of[job] != some[0]:
                passed[job] = 0
        if world.broker.waiting and dice.random() < 0.5:
            done = world.next()
            world.deliver(done)
            passed.pop(done.message.job_id, None)
            passed = {job: count + 1 for job, count in passed.items()}
        if dice.random() < 0.3:
            world.refill()
        assert all(world.line().count(tenant) <= WINDOW for tenant in some)
        own = {tenant: sum(world.of[job] == tenant for job in passed) for tenant in some}
        assert all(
            count <= WINDOW * len(some) * (1 + own[world.of[job]]) for job, count in passed.items()
        )
    for _ in range(60):
        world.drain()
        world.refill()
    assert {world.state(one) for one in world.of} == {"completed"}
