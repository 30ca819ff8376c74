from __future__ import annotations

import pytest

from surefoot.app.saga.naming import (
    did_you_mean,
    effect_key,
    is_name,
    parse_task_name,
    queue_name,
    task_name,
)


@pytest.mark.parametrize(
    ("kind", "task", "queue"),
    [
        pytest.param("action", "order.reserve_stock", "inventory", id="action"),
        pytest.param("undo", "order.reserve_stock.undo", "inventory.undo", id="undo"),
        pytest.param("confirm", "order.reserve_stock.confirm", "inventory", id="confirm"),
    ],
)
def test_given_operation_when_named_then_the_name_leads_back(
    kind: str, task: str, queue: str
) -> None:
    assert task_name("order", "reserve_stock", kind) == task
    assert parse_task_name(task) == ("order", "reserve_stock", kind)
    assert queue_name("inventory", kind) == queue


@pytest.mark.parametrize(
    "name",
    [
        "order",
        "",
        "order.",
        ".step",
        "order.step.",
        "order.step.action",
        "order.step.undo.undo",
        "celery.chord-x",
        "a.B",
    ],
)
def test_given_foreign_task_name_when_parsed_then_none(name: str) -> None:
    assert parse_task_name(name) is None


def test_given_steps_called_undo_when_parsed_then_not_mistaken_for_a_kind() -> None:
    assert parse_task_name("order.undo") == ("order", "undo", "action")


@pytest.mark.parametrize(("item", "key"), [("", "j:charge::action"), ("7", "j:charge:7:action")])
def test_given_item_when_effect_is_named_then_it_has_its_place(item: str, key: str) -> None:
    assert effect_key("j", "charge", item, "action") == key


@pytest.mark.parametrize(
    "bad", ["", "1st", "Order", "a.b", "a@b", "a-b", "_a", "a b", "ä", "a\n", "a" * 61, 3, None]
)
def test_given_text_that_would_break_task_or_queue_names_when_asked_then_no_name(
    bad: object,
) -> None:
    assert not is_name(bad)


@pytest.mark.parametrize(
    ("known", "said"),
    [
        pytest.param(["reserve_stock", "charge_card"], " Did you mean 'reserve_stock'?", id="near"),
        pytest.param(["ship", "mail"], " There are: ship, mail.", id="far"),
        pytest.param([], " There are none yet.", id="nothing"),
    ],
)
def test_given_misspelt_name_when_answered_then_help_is_offered(
    known: list[str], said: str
) -> None:
    assert did_you_mean("reserve_stok", known) == said
