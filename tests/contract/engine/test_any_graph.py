"""Arbitrary graphs, steps without an undo in between, and many workers at once."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from surefoot.app.engine.worker.delivery import DeliveryOutcome
from surefoot.app.errors import Conflict
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.outcomes import UNKNOWN, Happened, Rejected
from surefoot.app.saga.policies import Retry
from tests.support.waiting import wait_until
from tests.support.world import Participant, Thing, World, after_effect, diamond

pytestmark = pytest.mark.slow

FIVE = Retry(limit=5)  # so that attempts run out, and not an hour
LOST_MOST = 6  # messages of a job: each is rung again after twice the time, and a broker that loses all of them ends nothing


def build(
    service: Participant,
    after: dict[str, list[str]],
    *,
    no_effect: set[str] = frozenset(),
    confirmed: set[str] = frozenset(),
    batchable: set[str] = frozenset(),
    name: str = "shape",
) -> Saga[Any]:
    """A saga of the shape given: step -> the steps it waits for. Every step with an effect has an undo."""
    saga = Saga(name, version=1, input=Thing)
    for name, before in after.items():

        def act(ctx, o):
            return service.act(ctx)

        act.__name__ = act.__qualname__ = name
        step = saga.step(
            lane="a",
            after=before,
            no_effect=name in no_effect,
            batchable=name in batchable,
            retry=FIVE,
        )(act)
        if name not in no_effect:

            def back(ctx, o):
                service.act(ctx)

            back.__name__ = back.__qualname__ = f"undo_{name}"
            step.compensate(fidelity="exact")(back)
        if name in confirmed:

            def sure(ctx, o):
                service.act(ctx)

            sure.__name__ = sure.__qualname__ = f"confirm_{name}"
            step.confirm()(sure)
    return saga


def test_given_a_step_without_undo_in_between_then_the_order_of_undos_holds_across_it(
    ready_url: str,
) -> None:
    service = Participant()
    world = World(
        ready_url,
        [build(service, {"a": [], "b": ["a"], "c": ["b"], "d": ["c"]}, no_effect={"b"})],
        service,
    )
    service.script["d", "action"] = [Rejected("no")]
    job = world.submit()
    world.drain()
    assert world.land(job) == "failed"
    assert service.steps("undo") == ["c", "a"]
    assert world.broken() == {}
    world.db.dispose()


def test_given_confirmations_then_they_run_after_every_action_and_are_never_undone(
    ready_url: str,
) -> None:
    service = Participant()
    world = World(ready_url, [build(service, {"a": [], "b": []}, confirmed={"a", "b"})], service)
    service.script["a", "confirm"] = [RuntimeError("once")]
    job = world.submit()
    assert world.land(job) == "completed"
    assert [kind for _, kind in service.order] == ["action", "action", "confirm", "confirm"]
    assert world.broken() == {}
    world.db.dispose()


def test_given_a_long_chain_then_no_message_carries_more_than_ten_and_nothing_is_rung_twice(
    sqlite_url: str,
) -> None:
    service = Participant()
    names = [f"s{n}" for n in range(25)]
    world = World(
        sqlite_url,
        [build(service, {n: names[i - 1 : i] if i else [] for i, n in enumerate(names)})],
        service,
    )
    job = world.submit()
    longest = 0
    while world.broker.waiting:
        longest = max(longest, 1 + len(world.broker.waiting[0].rest))
        world.deliver(world.broker.waiting.pop(0))
    assert world.state(job) == "completed" and longest == 10
    assert set(world.broker.published.values()) == {1}
    world.db.dispose()


@st.composite
def shapes(draw: st.DrawFn) -> dict[str, list[str]]:
    names = [f"s{n}" for n in range(draw(st.integers(1, 8)))]
    return {
        name: draw(st.lists(st.sampled_from(names[:i]), unique=True, max_size=3)) if i else []
        for i, name in enumerate(names)
    }


ANYTHING = {
    "after": shapes(),
    "chance": st.randoms(use_true_random=False),
    "trouble": st.sampled_from(["fine", "reject", "exhaust", "cancel"]),
}


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(**ANYTHING)
def test_given_any_graph_and_any_trouble_then_the_job_lands_whole_or_undone_in_reverse(
    tmp_path_factory: pytest.TempPathFactory,
    after: dict[str, list[str]],
    chance: random.Random,
    trouble: str,
) -> None:
    lands(tmp_path_factory.mktemp("shape"), after, chance, trouble)


@pytest.mark.long
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(**ANYTHING)
def test_given_many_graphs_and_any_trouble_then_each_job_lands_whole_or_undone_in_reverse(
    tmp_path_factory: pytest.TempPathFactory,
    after: dict[str, list[str]],
    chance: random.Random,
    trouble: str,
) -> None:
    lands(tmp_path_factory.mktemp("shape"), after, chance, trouble)


def lands(folder: Path, after: dict[str, list[str]], chance: random.Random, trouble: str) -> None:
    """One job of such a saga, with messages lost, repeated and out of order, ends whole or undone in reverse."""
    file = folder / "s.sqlite"
    service = Participant()
    saga = build(
        service,
        after,
        no_effect={n for n in after if chance.random() < 0.2},
        batchable=set(after) if chance.random() < 0.5 else set(),
    )
    world = World(f"sqlite:///{file}", [saga], service)
    world.runs_on = chance.random() < 0.5
    victim = chance.choice(list(after))
    if trouble == "reject":
        service.script[victim, "action"] = [Rejected("no")]
    elif trouble == "exhaust":
        service.script[victim, "action"] = [after_effect(TimeoutError("?")) for _ in range(5)]
    job = world.submit()
    cancel_at = chance.randrange(20) if trouble == "cancel" else -1
    lost = 0
    for turn in range(300):
        if turn == cancel_at:
            try:
                world.cancel(job)
            except Conflict:
                assert world.state(job) == "completed"
        if not world.broker.waiting:
            if world.state(job) in ("completed", "failed", "cancelled"):
                break
            world.let_pass(61)
            world.sweep()
            continue
        rung = world.broker.waiting.pop(chance.randrange(len(world.broker.waiting)))
        fate = chance.random()
        if fate < 0.1 and lost < LOST_MOST:
            lost += 1
            continue
        world.deliver(rung)
        if fate > 0.9:
            world.deliver(rung)  # repeated
    graph, done, undone = saga.graph, service.steps(), service.steps("undo")
    assert world.state(job) in ("completed", "failed", "cancelled")
    assert world.broken() == {}
    assert len(done) == len(set(done)) and len(undone) == len(set(undone))
    if world.state(job) == "completed":
        assert set(done) == set(after) and undone == []
    else:
        assert set(undone) == {s for s in done if graph.by_name[s].compensation}
        for i, step in enumerate(undone):
            assert not graph.reachable[step] & set(undone[i + 1 :])
    world.db.dispose()


def test_given_many_workers_cancels_and_sweeps_at_once_then_every_job_lands_and_nothing_deadlocks(
    ready_url: str,
) -> None:
    service = Participant()
    world = World(ready_url, [diamond(service)], service)
    chance = random.Random(7)
    job_ids = [world.submit() for _ in range(20)]
    halt = Event()

    def worker() -> None:
        while not halt.is_set():
            try:
                rung = world.broker.waiting.pop(0)
            except IndexError:
                halt.wait(0.01)  # a cancel may ring when all the others have landed
                continue
            assert world.deliver(rung).verdict in set(DeliveryOutcome)

    def canceller() -> None:
        for job in chance.sample(job_ids, 8):
            try:
                world.cancel(job)
            except Conflict:
                pass

    with ThreadPoolExecutor(6) as pool:
        running = [pool.submit(worker) for _ in range(4)] + [pool.submit(canceller)]

        def landed() -> bool:
            world.sweep()
            return all(world.state(j) in ("completed", "failed", "cancelled") for j in job_ids)

        try:
            wait_until(landed, timeout_s=90, what="all jobs to land")
        finally:
            halt.set()
        for future in running:
            future.result()
    assert world.broken() == {}
    for job in job_ids:
        effects = {
            key for key in service.done if key.startswith(job) and service.done[key] == "done"
        }
        actions, undos = (sum(key.endswith(kind) for key in effects) for kind in ("action", "undo"))
        assert (actions, undos) == (6, 0) if world.state(job) == "completed" else actions == undos
    world.db.dispose()


def test_given_settle_replay_when_the_outcome_is_unknown_then_the_action_runs_again_under_its_key_before_the_undo(
    ready_url: str,
) -> None:
    service = Participant()
    saga = Saga("replayed", version=1, input=Thing)

    @saga.step(lane="a")
    def ask_price(ctx, o) -> str:
        return service.act(ctx)

    @ask_price.compensate(fidelity="exact")
    def forget(ctx, o): ...

    @saga.step(lane="a", on_unknown_undo="replay", retry=FIVE)
    def send(ctx, o, price: str) -> str:
        return service.act(ctx)

    seen: list[Any] = []

    @send.compensate(fidelity="exact")
    def unsend(ctx, o, sent):
        seen.append(sent)
        service.act(ctx)

    world = World(ready_url, [saga], service)
    service.script["send", "action"] = [after_effect(TimeoutError("?")) for _ in range(5)]
    job = world.submit()
    assert world.land(job) == "failed"
    assert seen == ["send done"] and service.calls["send", "action"] == 6
    assert world.broken() == {}
    world.db.dispose()


def test_given_a_probe_when_an_attempt_was_lost_then_the_service_is_asked_and_the_effect_is_not_done_twice(
    ready_url: str,
) -> None:
    service = Participant()
    saga = Saga("probed", version=1, input=Thing)
    answers: list[Any] = [UNKNOWN, Happened("found")]

    @saga.step(lane="a")
    def charge(ctx, o) -> str:
        return service.act(ctx)

    @charge.compensate(fidelity="exact")
    def refund(ctx, o, charged):
        service.act(ctx)

    @charge.probe
    def find(ctx, o):
        return answers.pop(0)

    world = World(ready_url, [saga], service)
    service.script["charge", "action"] = [after_effect(TimeoutError("no answer"))]
    job = world.submit()
    assert world.land(job) == "completed"
    assert service.calls["charge", "action"] == 1 and answers == []
    assert world.operation(job, "charge").result == "found"
    assert world.broken() == {}
    world.db.dispose()
