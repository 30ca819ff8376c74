"""Whose job it is: what a step is told of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from surefoot.app.saga.context import Context
from surefoot.app.saga.outcomes import Rejected
from surefoot.app.saga.registry import Registry
from surefoot.app.store.ids import new_id
from surefoot.app.store.tables import tenants
from tests.support.world import Participant, World, diamond


class Told(Participant):
    """Notes what each operation was told of its tenant."""

    def __init__(self) -> None:
        super().__init__()
        self.of_job: dict[str, set[str]] = {}

    def act(self, ctx: Context) -> str:
        self.of_job.setdefault(ctx.job_id, set()).add(f"{ctx.tenant} {ctx.kind}")
        return super().act(ctx)


@pytest.fixture
def world(ready_url: str) -> Iterator[World]:
    service = Told()
    world = World(ready_url, [diamond(service)], service)
    yield world
    assert world.broken() == {}
    world.db.dispose()


@pytest.mark.parametrize(
    "newest", [True, False], ids=["claimed in one statement", "looked at first"]
)
def test_given_jobs_of_two_tenants_when_they_run_and_are_undone_then_each_operation_is_told_its_own(
    world: World, newest: bool
) -> None:
    if not newest:  # another release is current here: what this job needs is found by its digest
        later = diamond(world.service)
        later.version = 2
        mine = world.registry
        world.registry = Registry([later, *mine.all()])
        assert world.registry.get("diamond") is later
    world.runs_on = True
    world.service.script["commit", "action"] = [Rejected("no")] * 2
    first = world.submit()
    with world.db.begin() as tx:
        world.tenant = new_id()
        tx.execute(tenants.insert().values(id=world.tenant, name="acme"))
    second = world.submit()
    world.drain()
    assert [world.state(job) for job in (first, second)] == ["failed", "failed"]
    assert isinstance(world.service, Told)
    assert world.service.of_job == {
        first: {"default action", "default undo"},
        second: {"acme action", "acme undo"},
    }
