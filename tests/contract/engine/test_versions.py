"""An operation that meets a worker without its definition is offered again, soon where somebody has it, and costs no attempt."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from surefoot.app.engine.worker import leases
from surefoot.app.engine.worker.delivery import DeliveryOutcome
from surefoot.app.engine.worker.execute import VERSION_ELSEWHERE_S, VERSION_NOWHERE_S
from surefoot.app.engine.worker.leases import WorkerProcess
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.registry import Registry
from tests.support.world import Participant, Thing, World


@pytest.fixture
def world(ready_url: str) -> Iterator[World]:
    service = Participant()
    saga = Saga("parcel", version=1, input=Thing)

    @saga.step(lane="parcels", undo=None)
    def pack(ctx: Any, o: Any) -> str:
        return service.act(ctx)

    made = World(ready_url, [saga], service)
    yield made
    made.db.dispose()


def register(world: World, worker_id: str, digests: list[str]) -> None:
    leases.register_worker(
        world.db,
        worker_id,
        WorkerProcess(host="here", pid=1, lanes=["parcels"], digests=digests, concurrency=1),
    )


@pytest.mark.parametrize("elsewhere", [True, False])
def test_given_a_worker_without_the_definition_then_the_operation_waits_longer_where_nobody_has_it(
    world: World, elsewhere: bool
) -> None:
    saga, known = world.registry.all()[0], world.registry
    register(world, "gone", [saga.digest])
    leases.worker_stopped(world.db, "gone")
    register(world, "other", [saga.digest] if elsewhere else ["another"])
    job = world.submit()
    world.registry = Registry()
    assert world.deliver(world.next()).verdict == DeliveryOutcome.PARKED
    world.let_pass(VERSION_ELSEWHERE_S)
    world.sweep()
    assert bool(world.broker.waiting) is elsewhere
    world.let_pass(VERSION_NOWHERE_S)
    world.sweep()
    world.registry = known
    world.drain()
    assert world.state(job) == "completed"
    assert "attempt_failed" not in world.events(job)
