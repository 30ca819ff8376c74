from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel, model_validator

from surefoot.app.errors import Unreadable
from surefoot.app.saga.calls import ask, invoke
from surefoot.app.saga.context import Context
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.outcomes import NEVER, UNKNOWN, Happened, NotYet, Rejected
from tests.unit.saga import order_saga


def context(step: str, kind: str = "action") -> Context:
    return Context(job_id="j1", saga="order", step=step, kind=kind)


# --- the order saga, called as the engine calls it -------------------------------------------------------------------
def test_given_order_when_run_step_by_step_then_results_travel_as_json_and_arrive_as_models(
    order: Saga[Any], order_input: dict[str, Any]
) -> None:
    results: dict[str, Any] = {}
    for node in order.graph.nodes:
        results[node.name] = invoke(
            order, node.name, "action", context(node.name), order_input, results, None
        )
    assert results == {
        "create_order": {"order_id": "ann-1"},
        "reserve_stock": {"sku": "apple", "quantity": 3},
        "charge_card": {"charge_id": "ch-ann-1", "cents": 900},
        "confirm_order": "3 for 900",
        "ship_order": None,
        "send_receipt": None,
    }
    undoing = context("reserve_stock", "undo")
    assert invoke(
        order, "reserve_stock", "undo", undoing, order_input, results, results["reserve_stock"]
    ) == {"released": 3}


def test_given_result_never_learnt_when_undone_then_the_undo_gets_none(
    order: Saga[Any], order_input: dict[str, Any]
) -> None:
    assert (
        invoke(
            order, "reserve_stock", "undo", context("reserve_stock", "undo"), order_input, {}, None
        )
        is None
    )


def test_given_step_that_waits_when_called_then_not_yet_comes_through(
    order: Saga[Any], order_input: dict[str, Any]
) -> None:
    results = {"create_order": {"order_id": "ann-1"}}
    answer = invoke(
        order,
        "reserve_stock",
        "action",
        context("reserve_stock"),
        {**order_input, "sku": "late"},
        results,
        None,
    )
    assert answer == NotYet(2.0)


def test_given_step_that_refuses_when_called_then_its_own_error_comes_through(
    order: Saga[Any], order_input: dict[str, Any]
) -> None:
    results = {"create_order": {"order_id": "ann-1"}}
    with pytest.raises(Rejected, match="no stock"):
        invoke(
            order,
            "reserve_stock",
            "action",
            context("reserve_stock"),
            {**order_input, "sku": "none"},
            results,
            None,
        )


def test_given_charge_when_asked_then_happened_with_json_never_or_unknown(
    order: Saga[Any], order_input: dict[str, Any]
) -> None:
    assert ask(order, "charge_card", context("charge_card", "undo"), order_input) is NEVER
    invoke(
        order,
        "charge_card",
        "action",
        context("charge_card"),
        order_input,
        {"create_order": {"order_id": "1"}},
        None,
    )
    assert ask(order, "charge_card", context("charge_card", "undo"), order_input) == Happened(
        {"charge_id": "ch-1", "cents": 900}
    )
    assert (
        ask(order, "charge_card", context("charge_card"), {**order_input, "card": "tok_doubt"})
        is UNKNOWN
    )


# --- types -----------------------------------------------------------------------------------------------------------
class Ask(BaseModel):
    n: int = 1

    @model_validator(mode="after")
    def _not_thirteen(self) -> Ask:
        if self.n == 13:
            raise ValueError("thirteen is refused")
        return self


class Stamp(BaseModel):
    at: datetime
    cost: Decimal
    took: timedelta = timedelta(seconds=90)


SEEN: list[Any] = []


def two_steps(answer: Any, annotation: Any = None) -> Saga[Ask]:
    """`make` returns `answer`, annotated; `take` notes what it is given."""
    saga = Saga("s", version=1, input=Ask)

    def make(ctx: Any, o: Ask) -> Any:
        return answer

    if annotation is not None:
        make.__annotations__["return"] = annotation
    step = saga.step(lane="a")(make)

    @step.compensate(fidelity="exact")
    def unmake(ctx: Any, o: Ask, own: Any) -> Any:
        SEEN.append(own)

    @saga.step(lane="a", undo=None)
    def take(ctx: Any, o: Ask, made: Any) -> None:
        SEEN.append(made)

    return saga


STAMP = Stamp(at=datetime.fromisoformat("2026-01-02T03:04:05+00:00"), cost=Decimal("1.50"))


@pytest.mark.parametrize(
    ("answer", "annotation", "stored"),
    [
        pytest.param(
            STAMP,
            Stamp,
            {"at": "2026-01-02T03:04:05Z", "cost": "1.50", "took": "PT1M30S"},
            id="model",
        ),
        pytest.param(
            [STAMP],
            list[Stamp],
            [{"at": "2026-01-02T03:04:05Z", "cost": "1.50", "took": "PT1M30S"}],
            id="list-of-models",
        ),
        pytest.param({3: (1, 2)}, dict[int, tuple[int, int]], {"3": [1, 2]}, id="dict-of-tuples"),
        pytest.param({"b", "a"}, set[str], None, id="set"),
        pytest.param(None, Stamp | None, None, id="optional"),
        pytest.param(7, int | NotYet, 7, id="or-not-yet"),
        pytest.param(None, NotYet, None, id="only-not-yet"),
        pytest.param({"a": [1, None, "x"]}, None, {"a": [1, None, "x"]}, id="unannotated"),
        pytest.param(b"ab", bytes, "ab", id="bytes"),
    ],
)
def test_given_annotated_result_when_stored_and_given_back_then_the_same_value(
    answer: Any, annotation: Any, stored: Any
) -> None:
    saga = two_steps(answer, annotation)
    SEEN.clear()
    kept = invoke(saga, "make", "action", context("make"), {}, {}, None)
    if stored is not None:
        assert kept == stored
    invoke(saga, "take", "action", context("take"), {}, {"make": kept}, None)
    invoke(saga, "make", "undo", context("make", "undo"), {}, {}, kept)
    assert [answer, answer] == SEEN
    assert all(type(seen) is type(answer) for seen in SEEN)


def test_given_unannotated_model_when_given_back_then_plain_data() -> None:
    saga = two_steps(STAMP)
    SEEN.clear()
    kept = invoke(saga, "make", "action", context("make"), {}, {}, None)
    invoke(saga, "take", "action", context("take"), {}, {"make": kept}, None)
    assert SEEN[0]["cost"] == "1.50"


@pytest.mark.parametrize(
    ("answer", "annotation", "said"),
    [
        pytest.param(
            "7",
            int,
            "the result of step make must be int, not str: Input should be a valid integer",
            id="text-for-int",
        ),
        pytest.param(True, int, "the result of step make must be int, not bool", id="true-for-int"),
        pytest.param(
            None,
            Stamp,
            "the result of step make must be Stamp, not NoneType",
            id="nothing-for-model",
        ),
        pytest.param(
            7,
            None.__class__,
            "the result of step make must be None, not int",
            id="something-for-none",
        ),
        pytest.param(
            {"at": 1},
            Stamp | int,
            r"the result of step make must be Stamp \| int, not dict",
            id="union",
        ),
        pytest.param(
            object(),
            None,
            "the result of step make cannot be kept as JSON: Unable to serialize unknown type",
            id="no-json",
        ),
        pytest.param(
            float("nan"),
            float,
            "the result of step make cannot be kept as JSON: it must be a finite number",
            id="nan",
        ),
        pytest.param(
            {"a": ["x\0"]},
            None,
            "the result of step make cannot be kept as JSON: a/0 must not contain NUL",
            id="nul",
        ),
        pytest.param(
            NEVER,
            None,
            "step make: make returned NEVER, which is a probe's answer",
            id="probe-answer",
        ),
        pytest.param(Happened(1), None, "step make: make returned Happened", id="happened"),
    ],
)
def test_given_result_of_wrong_type_when_returned_then_an_error_that_names_the_step(
    answer: Any, annotation: Any, said: str
) -> None:
    with pytest.raises(TypeError, match=said):
        invoke(two_steps(answer, annotation), "make", "action", context("make"), {}, {}, None)


def test_given_cyclic_result_when_returned_then_refused() -> None:
    ring: list[Any] = []
    ring.append(ring)
    with pytest.raises(TypeError, match="the result of step make cannot be kept as JSON"):
        invoke(two_steps(ring), "make", "action", context("make"), {}, {}, None)


# --- shapes of functions ---------------------------------------------------------------------------------------------
def test_given_functions_that_take_less_when_called_then_with_context_and_input_only() -> None:
    saga = Saga("s", version=1, input=Ask)
    seen: list[tuple[Any, ...]] = []

    @saga.step(lane="a")
    def one(ctx: Any, o: Ask) -> int:
        return 1

    @one.compensate(fidelity="exact")
    def back(ctx: Any, o: Ask) -> None:
        seen.append((ctx.kind, o.n))

    @one.confirm
    def show(*given: Any) -> str:
        seen.append(given[2:])
        return "shown"

    @saga.step(lane="a", undo=None)
    def two(ctx: Any, o: Ask) -> None:
        seen.append((o.n,))

    assert invoke(saga, "one", "undo", context("one", "undo"), {"n": 5}, {}, 1) is None
    assert invoke(saga, "one", "confirm", context("one", "confirm"), {}, {}, 1) == "shown"
    assert invoke(saga, "two", "action", context("two"), {"n": 6}, {}, None) is None, (
        "it takes no result, so none is needed"
    )
    assert seen == [("undo", 5), (1,), (6,)]


def test_given_results_in_order_of_after_when_called_then_in_that_order() -> None:
    saga = Saga("s", version=1, input=Ask)

    @saga.step(lane="a", undo=None)
    def left(ctx: Any, o: Ask) -> str:
        return "l"

    @saga.step(lane="a", undo=None, after=[])
    def right(ctx: Any, o: Ask) -> str:
        return "r"

    @saga.step(lane="a", undo=None, after=[right, left])
    def join(ctx: Any, o: Ask, first: str, second: str) -> str:
        return first + second

    assert (
        invoke(saga, "join", "action", context("join"), {}, {"left": "l", "right": "r"}, None)
        == "rl"
    )
    with pytest.raises(
        LookupError, match="step join takes the result of left, which was not given"
    ):
        invoke(saga, "join", "action", context("join"), {}, {"right": "r"}, None)


# --- what was known before the function ran --------------------------------------------------------------------------
def test_given_input_that_only_the_code_refuses_when_called_then_rejected_before_anything_happens() -> (
    None
):
    saga = two_steps(1)
    with pytest.raises(
        Rejected, match="step make: the input does not fit Ask: Value error, thirteen is refused"
    ) as caught:
        invoke(saga, "make", "action", context("make"), {"n": 13}, {}, None)
    assert caught.value.nothing_happened


def test_given_input_of_another_shape_when_called_then_unreadable_with_model_and_field() -> None:
    saga = two_steps(1)
    with pytest.raises(
        Unreadable, match="the job's input cannot be read by this code as Ask, field n"
    ) as caught:
        invoke(saga, "make", "action", context("make"), {"n": "many"}, {}, None)
    assert caught.value.details == {"model": "Ask", "field": "n"}


def test_given_stored_result_of_other_code_when_read_then_unreadable_without_showing_it() -> None:
    saga = two_steps(1, int)
    with pytest.raises(
        Unreadable, match="the stored result of step make cannot be read by this code as int: "
    ) as caught:
        invoke(saga, "take", "action", context("take"), {}, {"make": "4111-secret"}, None)
    assert "4111" not in str(caught.value)


@pytest.mark.parametrize("kind", ["undo", "confirm", "probe"])
def test_given_step_without_such_a_function_when_called_then_it_is_said(
    order: Saga[Any], order_input: dict[str, Any], kind: str
) -> None:
    with pytest.raises(LookupError, match=f"step ship_order of saga order has no {kind}"):
        if kind == "probe":
            ask(order, "ship_order", context("ship_order"), order_input)
        else:
            invoke(order, "ship_order", kind, context("ship_order", kind), order_input, {}, None)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param(
            None,
            r"step one: probe find must return Happened\(result\), NEVER or UNKNOWN, not None",
            id="none",
        ),
        pytest.param(True, "not bool", id="true"),
        pytest.param(Happened, "not type|not ModelMetaclass", id="class"),
        pytest.param(
            Happened("x"),
            "the result that probe find found for step one must be int, not str",
            id="wrong-result",
        ),
    ],
)
def test_given_probe_that_does_not_answer_when_asked_then_an_error_that_names_it(
    answer: Any, said: str
) -> None:
    saga = Saga("s", version=1, input=Ask)

    @saga.step(lane="a", undo=None)
    def one(ctx: Any, o: Ask) -> int:
        return 1

    @one.probe
    def find(ctx: Any, o: Ask) -> Any:
        return answer

    with pytest.raises(TypeError, match=said):
        ask(saga, "one", context("one"), {})


def test_given_order_saga_when_a_step_is_misspelt_then_help_is_offered(
    order_input: dict[str, Any],
) -> None:
    with pytest.raises(Exception, match="Did you mean 'charge_card'"):
        invoke(order_saga.order, "charge_crad", "action", context("x"), order_input, {}, None)
