from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery

from surefoot.app.config import Settings, settings
from surefoot.app.delivery.canvas import (
    body_of,
    carried,
    first_id,
    next_of_chain,
    signature,
    to_canvas,
)
from surefoot.app.delivery.producer import producer_app
from surefoot.app.rules.planner import Chain, Chord, Message
from surefoot.app.store.ids import new_id, operation_id
from surefoot.app.store.views.names import short_name

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


def test_given_message_when_made_a_signature_then_it_carries_ids_and_no_payload(
    app: Celery,
) -> None:
    made = signature(app, message("charge", "7"))
    assert made.task == "order.charge"
    assert made.args == (JOB, "7")
    assert made.immutable
    assert made.options["task_id"] == operation_id(JOB, "charge", "7", "action")
    assert made.options["queue"] == "surefoot.orders"
    assert made.options["root_id"] == JOB
    assert JOB in made.options["argsrepr"]


def test_given_plan_when_made_canvases_then_one_for_each_part_in_order(app: Celery) -> None:
    fork = Chord((chain_of("b"), chain_of("c", "d")), chain_of("e", "f"))
    alone, run, forked = to_canvas(app, (chain_of("a"), chain_of("g", "h"), fork))
    assert alone.task == "order.a"
    assert [s.task for s in run.tasks] == ["order.g", "order.h"]
    assert len(forked.tasks) == 2
    assert first_id(forked.body) == id_of("e")


def test_given_same_plan_twice_when_made_canvases_then_the_task_ids_are_the_same(
    app: Celery,
) -> None:
    once, again = (to_canvas(app, (chain_of("a", "b"),))[0] for _ in range(2))
    assert (
        [s.options["task_id"] for s in once.tasks]
        == [s.options["task_id"] for s in again.tasks]
        == [id_of("a"), id_of("b")]
    )


def element(step: str) -> dict[str, Any]:
    return {
        "task": f"order.{step}",
        "args": [JOB, ""],
        "kwargs": {},
        "options": {"task_id": id_of(step)},
        "subtask_type": None,
    }


CHAIN_BODY = {
    "task": "celery.chain",
    "args": [],
    "kwargs": {"tasks": [element("e"), element("f")]},
    "options": {},
    "subtask_type": "chain",
}


@pytest.mark.parametrize(
    ("chain", "chord", "expected"),
    [
        pytest.param(None, None, set(), id="alone"),
        pytest.param([], None, set(), id="end of a chain"),
        pytest.param(
            [element("c"), element("b")], None, {id_of("b")}, id="the chain is kept reversed"
        ),
        pytest.param(None, element("e"), {id_of("e")}, id="body of one"),
        pytest.param([], CHAIN_BODY, {id_of("e")}, id="body that is a chain"),
        pytest.param(
            [element("b")], CHAIN_BODY, {id_of("b")}, id="the chain comes before the body"
        ),
    ],
)
def test_given_delivery_when_asked_what_it_carries_then_the_next_operation(
    chain: Any, chord: Any, expected: set[str]
) -> None:
    assert carried(SimpleNamespace(chain=chain, chord=chord)) == expected


def test_given_delivery_when_asked_for_the_next_then_signature_and_rest(app: Celery) -> None:
    found, rest = next_of_chain(app, [element("c"), element("b")])
    assert found.task == "order.b"
    assert [each["task"] for each in rest] == ["order.c"]
    assert body_of(app, SimpleNamespace(chord=None)) is None


# --- what Flower shows of a message --------------------------------------------------------------------------------
@pytest.fixture
def known_as(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("SUREFOOT_PUBLIC_URL", "https://shop.example")
    settings.cache_clear()
    yield f"{short_name('order', JOB)} https://shop.example/jobs/{JOB}"
    settings.cache_clear()


def shown(body: dict[str, Any]) -> str:
    """As Celery puts it into the headers of what leaves."""
    return str(body["options"]["argsrepr"])


def test_given_a_plan_when_its_messages_leave_then_each_names_the_job_and_its_page(
    known_as: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = producer_app("redis://127.0.0.1:1/0")
    fork = Chord((chain_of("b"), chain_of("c", "d")), chain_of("e", "f"))
    left: list[dict[str, Any]] = []

    def noted(_producer: Any, _name: str, made: Any, **_: Any) -> None:
        left.append({"headers": made.headers, "embed": made.body[2]})

    monkeypatch.setattr(app.amqp, "send_task_message", noted, raising=False)
    for canvas in to_canvas(app, (chain_of("a"), chain_of("g", "h"), fork)):
        canvas.apply_async(add_to_parent=False)
    assert [one["headers"]["task"] for one in left] == ["order.a", "order.g", "order.b", "order.c"]
    assert {one["headers"]["argsrepr"] for one in left} == {known_as}
    carried_on = [element for one in left for element in one["embed"]["chain"] or ()]
    bodies = [one["embed"]["chord"] for one in left if one["embed"]["chord"]]
    carried_on += [element for body in bodies for element in body["kwargs"]["tasks"]]
    assert carried_on and {shown(element) for element in carried_on} == {known_as}
    for one in left:
        if one["embed"]["chain"]:
            following, _ = next_of_chain(app, one["embed"]["chain"])
            assert following.options["argsrepr"] == known_as


def test_given_an_item_of_a_list_when_shown_then_it_is_named_too(
    app: Celery, known_as: str
) -> None:
    assert signature(app, message("charge", "7")).options["argsrepr"] == known_as.replace(
        " ", " 7 "
    )


@pytest.mark.parametrize(
    ("told", "page"),
    [
        ({"SUREFOOT_PORT": "8123"}, "http://127.0.0.1:8123"),
        ({"SUREFOOT_HOST": "0.0.0.0"}, "http://127.0.0.1:8000"),
        (
            {"SUREFOOT_HOST": "::1", "SUREFOOT_PUBLIC_URL": "https://shop.example"},
            "https://shop.example",
        ),
    ],
)
def test_given_settings_when_a_page_is_named_then_it_is_where_browsers_find_it(
    told: dict[str, str], page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert Settings().pages_url == page
