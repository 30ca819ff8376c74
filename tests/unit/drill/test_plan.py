from __future__ import annotations

from typing import Any

import pytest

from surefoot.app.drill.expect import expected
from surefoot.app.drill.plan import rows_of
from surefoot.app.drill.row import Disturbance, Group, Row, chosen
from surefoot.app.faults import Point, What, parse_faults
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.graph import Graph
from tests.unit.saga import order_saga

ROWS = rows_of(order_saga.order.graph, examples=2, example=1, outages=["payments"])


def row(name: str) -> Row:
    return next(row for row in ROWS if row.name == name)


def test_given_saga_when_planned_then_the_four_promised_groups_come_first() -> None:
    groups = list(dict.fromkeys(str(row.group) for row in ROWS))
    assert groups[:4] == [
        "step failure",
        "compensation retry",
        "duplicate delivery",
        "mid-saga crash",
    ]
    assert groups[-2:] == ["service outage", "no fault"]


def test_given_saga_when_planned_then_every_operation_meets_a_crash_at_every_point() -> None:
    struck = [
        row
        for row in ROWS
        if row.strike and row.strike.what == What.CRASH and row.strike.times == 1
    ]
    crashes = {(row.operation, row.point) for row in struck if not row.inside}
    operations = {name.partition(".")[2] for name, *_ in order_saga.order.tasks()}
    assert crashes == {(operation, point) for operation in operations for point in Point}
    assert {row.operation for row in struck if row.inside} == operations


def test_given_rows_when_named_then_each_name_is_its_own_and_its_fault_is_one_that_processes_can_be_told() -> (
    None
):
    assert len({row.name for row in ROWS}) == len(ROWS)
    told = [strike.fault for row in ROWS for strike in row.strikes if isinstance(strike.what, What)]
    for fault in dict.fromkeys(told):
        assert len(parse_faults(fault)) == 1, fault


def test_given_undo_when_planned_then_a_later_step_refuses_so_that_there_is_something_to_undo() -> (
    None
):
    first = row("charge_card.undo:crash@after_effect").first
    assert [(strike.target, strike.what) for strike in first] == [
        ("order.confirm_order", What.REJECT)
    ]


def test_given_nothing_after_the_step_when_planned_then_it_fails_itself_after_its_effect() -> None:
    saga: Saga[Any] = Saga("lone", version=1, input=order_saga.order.input_model)

    @saga.step(lane="a")
    def only(ctx: Any, o: Any) -> None: ...

    @only.compensate(fidelity="exact")
    def back(ctx: Any, o: Any, made: Any) -> None: ...

    first = next(r for r in rows_of(saga.graph) if r.operation == "only.undo").first
    assert [(s.target, s.what, s.point, s.times) for s in first] == [
        ("lone.only", What.CRASH, Point.AFTER_EFFECT, 5)
    ]


@pytest.mark.parametrize(
    ("only", "count"),
    [
        pytest.param("charge_card:crash@after_effect", 1, id="row"),
        pytest.param("compensation retry", sum(r.group == Group.UNDO for r in ROWS), id="group"),
        pytest.param(
            "charge_card.undo", sum(r.operation == "charge_card.undo" for r in ROWS), id="operation"
        ),
        pytest.param("freeze", sum(r.trick == Disturbance.FREEZE for r in ROWS), id="part"),
        pytest.param("no_such_thing", 0, id="none"),
        pytest.param(None, len(ROWS), id="all"),
    ],
)
def test_given_words_when_rows_are_chosen_then_those_they_name(
    only: str | None, count: int
) -> None:
    assert len(chosen(ROWS, only)) == count


@pytest.mark.parametrize(
    ("name", "lands", "ends", "letters"),
    [
        pytest.param(
            "charge_card:crash@after_effect",
            {"completed"},
            {"completed"},
            0,
            id="one-crash-is-overcome",
        ),
        pytest.param(
            "charge_card:reject@before_effect", {"failed"}, {"failed"}, 0, id="refusal-turns"
        ),
        pytest.param(
            "charge_card:fail@after_effect", {"failed"}, {"failed"}, 0, id="a-final-failure-turns"
        ),
        pytest.param(
            "ship_order:fail@after_effect",
            {"attention"},
            {"completed"},
            1,
            id="past-the-pivot-a-final-failure-asks",
        ),
        pytest.param(
            "charge_card.undo:fail@after_effect",
            {"attention"},
            {"failed"},
            1,
            id="a-final-failure-of-an-undo-asks",
        ),
        pytest.param(
            "charge_card:error@after_effect*5",
            {"completed"},
            {"completed"},
            0,
            id="errors-are-bounded-by-time",
        ),
        pytest.param(
            "charge_card:crash@after_effect*5",
            {"failed"},
            {"failed"},
            1,
            id="out-of-attempts-turns-with-a-letter",
        ),
        pytest.param(
            "confirm_order:crash@before_effect*5",
            {"attention"},
            {"completed"},
            1,
            id="pivot-out-of-attempts-asks",
        ),
        pytest.param(
            "ship_order:reject@before_effect",
            {"attention"},
            {"completed"},
            1,
            id="past-the-pivot-a-refusal-asks",
        ),
        pytest.param(
            "charge_card.undo:error@after_effect*20",
            {"attention"},
            {"failed"},
            1,
            id="undo-out-of-attempts-asks",
        ),
        pytest.param(
            "charge_card.undo:crash@after_effect",
            {"failed"},
            {"failed"},
            0,
            id="undo-is-tried-again",
        ),
        pytest.param(
            "charge_card:cancel@before_effect",
            {"cancelled"},
            {"cancelled"},
            0,
            id="cancel-before-the-pivot",
        ),
        pytest.param(
            "confirm_order:cancel@before_claim",
            {"cancelled"},
            {"cancelled"},
            0,
            id="cancel-at-the-pivot's-door",
        ),
        pytest.param(
            "payments:gone", {"completed"}, {"completed"}, 0, id="nobody-comes-and-it-waits"
        ),
        pytest.param(
            "payments:gone@after_effect",
            {"completed"},
            {"completed"},
            0,
            id="nobody-comes-in-mid-step-and-it-waits",
        ),
        pytest.param(
            "payments:gone@undo",
            {"failed"},
            {"failed"},
            0,
            id="nobody-comes-for-the-undo-and-it-waits",
        ),
        pytest.param(
            "charge_card:freeze@before_effect+undone",
            {"failed"},
            {"failed"},
            0,
            id="frozen-until-undone",
        ),
        pytest.param(
            "confirm_order:cancel@before_effect",
            {"completed"},
            {"completed"},
            0,
            id="cancel-too-late",
        ),
    ],
)
def test_given_row_when_asked_what_must_come_then_the_rules_of_the_engine(
    name: str, lands: set[str], ends: set[str], letters: int
) -> None:
    wanted = expected(order_saga.order.graph, row(name), "completed")
    assert (wanted.lands, wanted.ends, wanted.letters) == (lands, ends, letters)


@pytest.mark.parametrize(
    ("name", "lands", "letters"),
    [
        pytest.param("payments:gone", {"failed"}, 1, id="it-turns"),
        pytest.param(
            "payments:gone@after_effect", {"attention"}, 2, id="in-mid-step-nor-for-its-undo"
        ),
        pytest.param("payments:gone@undo", {"attention"}, 1, id="for-the-undo"),
    ],
)
def test_given_saga_that_gives_up_and_a_lane_without_a_worker_when_asked_what_must_come_then_it_does(
    name: str, lands: set[str], letters: int
) -> None:
    data = order_saga.order.graph.to_json()
    for node in data["nodes"]:
        for limits in (node["limits"], (node["compensation"] or {}).get("limits", {})):
            limits["gives_up"] = True
    wanted = expected(Graph.from_json(data), row(name), "completed")
    assert (wanted.lands, wanted.ends, wanted.letters) == (lands, {"failed"}, letters)
