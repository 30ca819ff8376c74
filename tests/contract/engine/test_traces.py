"""Every attempt of a job knows the request that the job came from, and so does every line it writes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import structlog

from surefoot.app.engine.jobs.submit import Submitted
from surefoot.app.engine.operators.resubmit import Asked, resubmit_job
from surefoot.app.engine.worker.delivery import Delivery
from surefoot.app.saga.context import Context
from surefoot.app.saga.outcomes import Rejected
from surefoot.app.testkit import broker
from surefoot.app.testkit.delivery import Child, FakeDelivery, as_delivery
from surefoot.app.trace import taken, trace_id
from tests.contract.engine.test_any_graph import build
from tests.support.world import Participant, World

STEPS = ["a", "b", "c"]
Seen = list[tuple[str, str, int, str | None, Any]]


@pytest.fixture
def seen() -> Seen:
    return []


@pytest.fixture
def world(ready_url: str, service: Participant, seen: Seen) -> Iterator[World]:
    """Three steps on one lane, of which b is tried twice and c is refused."""

    def look(ctx: Context) -> None:
        bound = structlog.contextvars.get_contextvars().get("trace_id")
        seen.append((ctx.step, ctx.kind, ctx.attempt, ctx.traceparent, bound))
        if ctx.step == "c":
            raise Rejected("no")

    service.script["b", "action"] = [RuntimeError("once")]
    for step in STEPS:
        service.script[step, "action"] += [look] * 2
        service.script[step, "undo"] += [look] * 2
    made = World(ready_url, [build(service, {"a": [], "b": ["a"], "c": ["b"]})], service)
    made.runs_on = True
    yield made
    assert made.broken() == {}
    made.db.dispose()


@pytest.mark.parametrize("named", [True, False], ids=["its saga is told", "it must be looked up"])
def test_given_a_traceparent_when_steps_run_run_on_are_tried_again_and_undone_then_each_has_it(
    world: World, seen: Seen, named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not named:

        def without_saga(taken: FakeDelivery, child: Child, **more: Any) -> Delivery:
            return replace(as_delivery(taken, child, **more), saga="")

        monkeypatch.setattr(broker, "as_delivery", without_saga)
    said = taken(None)
    assert world.land(world.submit(traceparent=said)) == "failed"
    assert [(step, kind, attempt) for step, kind, attempt, _, _ in seen] == [
        ("a", "action", 1),
        ("b", "action", 2),
        ("c", "action", 1),
        ("b", "undo", 1),
        ("a", "undo", 1),
    ]
    assert {(context, line) for _, _, _, context, line in seen} == {(said, trace_id(said))}


def test_given_a_job_that_ended_when_run_again_then_it_is_found_by_the_same_trace(
    world: World, seen: Seen
) -> None:
    said = taken(None)
    job = world.submit(traceparent=said)
    assert world.land(job) == "failed"
    again = resubmit_job(world.entrance, job, Asked("test"))
    assert isinstance(again, Submitted)
    assert world.job(again.job_id).traceparent == said


def test_given_a_job_without_a_trace_as_older_releases_made_them_then_it_runs(
    world: World, seen: Seen
) -> None:
    structlog.contextvars.clear_contextvars()
    assert world.land(world.submit()) == "failed"
    assert {(context, line) for _, _, _, context, line in seen} == {(None, None)}
