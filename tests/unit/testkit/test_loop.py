from __future__ import annotations

from collections.abc import Collection
from typing import Any, cast

import pytest

from surefoot.app import faults
from surefoot.app.engine.jobs.attempt import Attempt
from surefoot.app.engine.runtime import Runtime
from surefoot.app.engine.worker.delivery import (
    Delivery,
    DeliveryOutcome,
    ExecutionResult,
    OperationInput,
)
from surefoot.app.engine.worker.loop import Loop
from surefoot.app.rules.planner import Chain, Chord, Message
from surefoot.app.testkit.broker import FakeBroker, FakeContinuation
from surefoot.app.testkit.delivery import Child

CLAIMED = cast(tuple[Attempt, OperationInput], ("attempt", "work"))


def message(step: str) -> Message:
    return Message(f"id-{step}", f"trip.{step}", "lane", "job")


class Scripted(Loop):
    """Answers for the engine, one answer for each operation."""

    def __init__(self, *answers: ExecutionResult) -> None:
        super().__init__(cast(Runtime, None))
        self.answers = list(answers)
        self.seen: list[Delivery] = []
        self.unsent: frozenset[str] = frozenset()

    def carry_out(self, delivery: Delivery) -> ExecutionResult:
        self.seen.append(delivery)
        return self.answers.pop(0)

    def carry_on(
        self, delivery: Delivery, following: tuple[Attempt, OperationInput]
    ) -> ExecutionResult:
        return self.carry_out(delivery)

    def mark_unsent(self, operation_ids: Collection[str]) -> None:
        self.unsent = frozenset(operation_ids)


class Acks:
    """Notes where a message's end is told."""

    def __init__(self, broker: FakeBroker) -> None:
        self.broker = broker
        self.noted: list[tuple[str, int]] = []

    def fire(self, target: str, _point: faults.Point) -> None:
        self.noted.append((target, len(self.broker.waiting)))


def serve(loop: Loop, plan: Any, **child: Any) -> FakeBroker:
    """The first message of the plan is served; what has left is waiting."""
    broker = FakeBroker(down=child.pop("down", False))
    first = _first(plan)
    loop.serve(FakeContinuation(broker, first, Child("worker_id", 1, **child)))
    return broker


def _first(plan: Any) -> Any:
    sending = FakeBroker()
    sending.publish(plan)
    return sending.waiting[0]


THREE = (Chain((message("a"), message("b"), message("c"))),)
JOINED = (Chord((Chain((message("a"),)), Chain((message("b"),))), Chain((message("c"),))),)


def test_given_a_chain_in_one_lane_when_served_then_each_operation_is_offered_the_next() -> None:
    loop = Scripted(
        ExecutionResult(DeliveryOutcome.COMPLETED, following=CLAIMED),
        ExecutionResult(DeliveryOutcome.COMPLETED, following=CLAIMED),
        ExecutionResult(DeliveryOutcome.COMPLETED),
    )
    assert serve(loop, THREE).waiting == []
    assert [(d.step, d.rider.step if d.rider else None, d.message) for d in loop.seen] == [
        ("a", "b", None),
        ("b", "c", "id-a"),
        ("c", None, "id-a"),
    ]


@pytest.mark.parametrize(
    ("performed", "left"),
    [
        (ExecutionResult(DeliveryOutcome.COMPLETED), ["b"]),
        (ExecutionResult(DeliveryOutcome.REPEATED), ["b"]),
        (ExecutionResult(DeliveryOutcome.COMPLETED, stop_chain=True), []),
        (ExecutionResult(DeliveryOutcome.RETRY), []),
        (ExecutionResult(DeliveryOutcome.DROPPED, forged=True), []),
    ],
)
def test_given_a_verdict_when_served_then_the_next_of_the_chain_leaves_or_stays(
    performed: ExecutionResult, left: list[str]
) -> None:
    broker = serve(Scripted(performed), THREE)
    assert [delivery.name for delivery in broker.waiting] == left


def test_given_a_released_join_when_served_then_the_body_leaves_and_else_not() -> None:
    released = ExecutionResult(DeliveryOutcome.COMPLETED, frozenset({"id-c"}))
    assert [d.name for d in serve(Scripted(released), JOINED).waiting] == ["c"]
    assert serve(Scripted(ExecutionResult(DeliveryOutcome.COMPLETED)), JOINED).waiting == []


def test_given_a_pack_when_a_member_fails_then_those_behind_it_leave_all_the_same() -> None:
    pack = (Chain((message("a"), message("b"), message("c")), together=3),)
    assert [
        d.name for d in serve(Scripted(ExecutionResult(DeliveryOutcome.FAILED)), pack).waiting
    ] == ["b"]


def test_given_a_broker_that_is_away_when_served_then_what_should_have_left_is_told() -> None:
    loop = Scripted(ExecutionResult(DeliveryOutcome.COMPLETED))
    serve(loop, THREE, down=True)
    assert loop.unsent == {"id-b"}


def test_given_a_broker_known_to_be_away_when_served_then_nothing_rides_and_nothing_is_told() -> (
    None
):
    loop = Scripted(ExecutionResult(DeliveryOutcome.COMPLETED))
    assert serve(loop, THREE, carries=False).waiting == []
    assert (loop.seen[0].carried, loop.unsent) == (frozenset(), frozenset())


def test_given_a_message_when_served_then_its_end_is_told_last_and_of_each_operation() -> None:
    broker = FakeBroker()
    loop = Scripted(
        ExecutionResult(DeliveryOutcome.COMPLETED, following=CLAIMED),
        ExecutionResult(DeliveryOutcome.COMPLETED),
    )
    acks = Acks(broker)
    with faults.injecting(acks):
        loop.serve(FakeContinuation(broker, _first(THREE), Child("worker_id", 1)))
    assert acks.noted == [("trip.a", 1), ("trip.b", 1)], "what rode on it had left before"


def test_given_a_message_before_the_commit_when_published_then_the_broker_objects() -> None:
    broker = FakeBroker(uncommitted=lambda: True)
    assert broker.publish(THREE)
    assert broker.objections == ["a message left before the commit of what it is about"]
