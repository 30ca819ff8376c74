from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery

from app.delivery.canvas import body_of, carried, first_id, next_of_chain, signature, to_canvas
from app.delivery.producer import producer_app
from app.rules.planner import Chain, Chord, Message
from app.store.ids import new_id, operation_id

JOB = new_id()


@pytest.fixture(scope="module")
def app() -> Celery:
    return producer_app("redis://127.0.0.1:1/0")


def message(step: str, item: str = "") -> Message:
    return Message(operation_id(JOB, step, item, "action"), f"order.{step}", "orders", JOB, item)


def chain_of(*steps: str) -> Chain:
    return Chain(tuple(message(step) for step in steps))


def id_of(step: str) -> str:
    return operation_id(JOB, step, "", "action")


def test_given_message_when_made_a_signature_then_it_carries_ids_and_no_payload(app: Celery) -> None:
    made = signature(app, message("charge", "7"))
    assert made.task == "order.charge"
    assert made.args == (JOB, "7")
    assert made.immutable
    assert made.options["task_id"] == operation_id(JOB, "charge", "7", "action")
    assert made.options["queue"] == "orders"
    assert made.options["root_id"] == JOB
    assert JOB in made.options["argsrepr"]


def test_given_plan_when_made_canvases_then_one_for_each_part_in_order(app: Celery) -> None:
    fork = Chord((chain_of("b"), chain_of("c", "d")), chain_of("e", "f"))
    alone, run, forked = to_canvas(app, (chain_of("a"), chain_of("g", "h"), fork))
    assert alone.task == "order.a"
    assert [s.task for s in run.tasks] == ["order.g", "order.h"]
    assert len(forked.tasks) == 2
    assert first_id(forked.body) == id_of("e")


def test_given_same_plan_twice_when_made_canvases_then_the_task_ids_are_the_same(app: Celery) -> None:
    once, again = (to_canvas(app, (chain_of("a", "b"),))[0] for _ in range(2))
    assert [s.options["task_id"] for s in once.tasks] == [s.options["task_id"] for s in again.tasks] == [id_of("a"), id_of("b")]


def element(step: str) -> dict[str, Any]:
    return {"task": f"order.{step}", "args": [JOB, ""], "kwargs": {}, "options": {"task_id": id_of(step)}, "subtask_type": None}


CHAIN_BODY = {"task": "celery.chain", "args": [], "kwargs": {"tasks": [element("e"), element("f")]}, "options": {}, "subtask_type": "chain"}


@pytest.mark.parametrize(
    ("chain", "chord", "expected"),
    [
        pytest.param(None, None, set(), id="alone"),
        pytest.param([], None, set(), id="end of a chain"),
        pytest.param([element("c"), element("b")], None, {id_of("b")}, id="the chain is kept reversed"),
        pytest.param(None, element("e"), {id_of("e")}, id="body of one"),
        pytest.param([], CHAIN_BODY, {id_of("e")}, id="body that is a chain"),
        pytest.param([element("b")], CHAIN_BODY, {id_of("b")}, id="the chain comes before the body"),
    ],
)
def test_given_delivery_when_asked_what_it_carries_then_the_next_operation(chain: Any, chord: Any, expected: set[str]) -> None:
    assert carried(SimpleNamespace(chain=chain, chord=chord)) == expected


def test_given_delivery_when_asked_for_the_next_then_signature_and_rest(app: Celery) -> None:
    found, rest = next_of_chain(app, [element("c"), element("b")])
    assert found.task == "order.b"
    assert [each["task"] for each in rest] == ["order.c"]
    assert body_of(app, SimpleNamespace(chord=None)) is None
