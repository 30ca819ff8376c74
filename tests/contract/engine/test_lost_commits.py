"""COMMIT was sent and its answer lost, or it never arrived, or the database wants the transaction again: at every commit of a job."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from surefoot.app.engine.operators import decisions
from surefoot.app.errors import StoreUnavailable
from surefoot.app.saga.outcomes import Rejected
from tests.support.wire import When, Wire
from tests.support.world import Participant, World

STEPS = ["after", "commit", "first", "last", "left", "right"]
UNDOS = ["first", "left", "right"]
OVER_S = 61.0


@pytest.fixture
def wire(world: World) -> Wire:
    return Wire(world.db)


def tried(do: Callable[[], object]) -> bool:
    try:
        do()
    except StoreUnavailable:
        return False
    return True


def run(world: World, wire: Wire, key: str) -> str:
    """A client that asks again with its key, workers that give back what they could not do, a relay that goes on sweeping."""
    jobs: list[str] = []
    with wire.open():
        while not tried(lambda: jobs.append(world.submit(key=key))):
            pass
    (job,) = jobs
    for _ in range(80):
        while world.broker.waiting:
            rung = world.broker.waiting.pop(0)
            with wire.open():
                if not tried(lambda rung=rung: world.deliver(rung)):  # type: ignore[misc]
                    world.broker.waiting.append(rung)
        if world.state(job) in ("completed", "failed", "attention"):
            return job
        world.let_pass(OVER_S)
        with wire.open():
            tried(world.sweep)
    raise AssertionError(f"not landed: {world.operations(job)}")


def settle(world: World, job: str) -> None:
    """A pivot whose claim may have been followed by its effect, and that was refused later, asks a person."""
    for letter in world.letters(job):
        if letter.blocking:
            assert (letter.step, letter.kind) == ("commit", "action")
            world.rung(
                decisions.mark_absent(
                    world.db, world.settings, letter.id, "test", "it is not there"
                )
            )
            world.land(job)


def check(world: World, job: str, when: When, *, back: bool) -> None:
    settle(world, job)
    assert world.state(job) == ("failed" if back else "completed")
    assert "late_result_refused" not in " ".join(
        world.events(job)
    )  # its own commit is not somebody else's
    most = 1 if when == "conflict" else 2
    for name in world.operations(job):
        step, kind = name.split(".")
        assert world.operation(job, step, kind).attempts <= most, name


def each_commit(
    world: World, service: Participant, wire: Wire, when: When, *, back: bool, every: int
) -> int:
    """How many commits one job has; each `every`th of them is cut in a job of its own."""
    refused = [Rejected("no")] if back else []
    service.script["commit", "action"] = list(refused)
    check(world, run(world, wire, "whole"), "conflict", back=back)
    commits = wire.commits
    for number in range(1, commits + 1, every):
        service.script["commit", "action"] = list(refused)
        service.order.clear()
        wire.cut(number, when=when)
        job = run(world, wire, f"cut {number}")
        assert wire.commits >= number
        check(world, job, when, back=back)
        assert sorted(service.steps()) == (UNDOS if back else STEPS), number
        assert sorted(service.steps("undo")) == (UNDOS if back else []), number
        assert not back or service.steps("undo")[-1] == "first"
    return commits


@pytest.mark.parametrize(
    ("when", "back"),
    [("after", False), ("after", True), ("conflict", False)],
    ids=["lost", "lost on the way back", "conflict"],
)
def test_given_a_commit_that_is_cut_then_the_job_lands_with_each_effect_once(
    world: World, service: Participant, wire: Wire, when: When, back: bool
) -> None:
    assert each_commit(world, service, wire, when, back=back, every=4) > 12


@pytest.mark.long
@pytest.mark.parametrize("runs_on", [False, True], ids=["by messages", "run on"])
@pytest.mark.parametrize("back", [False, True], ids=["forward", "back"])
@pytest.mark.parametrize("when", ["before", "after", "conflict"])
def test_given_any_commit_of_a_job_is_cut_then_it_lands_with_each_effect_once(
    world: World, service: Participant, wire: Wire, when: When, back: bool, runs_on: bool
) -> None:
    world.runs_on = runs_on
    each_commit(world, service, wire, when, back=back, every=1)
