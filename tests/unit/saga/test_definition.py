from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from pydantic import BaseModel

from surefoot.app.errors import DefinitionError
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.graph import Graph
from surefoot.app.saga.outcomes import Rejected
from surefoot.app.saga.policies import Retry
from surefoot.app.saga.step import Step
from tests.unit.saga import order_saga


class Ask(BaseModel):
    n: int = 1


def saga_of(**more: Any) -> Saga[Ask]:
    return Saga("s", **{"version": 1, "input": Ask, **more})


# --- the order saga of the manual ------------------------------------------------------------------------------------
def test_given_order_saga_when_graph_is_asked_then_the_fork_and_the_join_are_there(
    order: Saga[Any],
) -> None:
    assert {n.name: n.after for n in order.graph.nodes} == {
        "create_order": (),
        "reserve_stock": ("create_order",),
        "charge_card": ("create_order",),
        "confirm_order": ("reserve_stock", "charge_card"),
        "ship_order": ("confirm_order",),
        "send_receipt": ("ship_order",),
    }
    assert order.graph.reachable["reserve_stock"] == {"confirm_order", "ship_order", "send_receipt"}
    assert (order.graph.saga, order.graph.version, order.graph.sla_s) == ("order", 1, 600.0)


def test_given_order_saga_when_graph_is_asked_then_pivot_and_promises_are_marked(
    order: Saga[Any],
) -> None:
    by_name = order.graph.by_name
    assert [n.name for n in order.graph.nodes if n.pivot] == ["confirm_order"]
    assert [n.name for n in order.graph.nodes if n.past_pivot] == ["ship_order", "send_receipt"]
    assert [n.name for n in order.graph.nodes if n.irreversible] == ["send_receipt"]
    assert [n.name for n in order.graph.nodes if n.probe] == ["charge_card"]
    refund = by_name["charge_card"].compensation
    assert refund is not None
    assert (refund.name, refund.lane, refund.fidelity) == ("refund_card", "payments", "equivalent")
    assert refund.note == "the refund shows on the statement beside the charge"


@pytest.mark.parametrize(
    ("step", "attempts", "undo_attempts"),
    [
        pytest.param("create_order", 5, 10, id="defaults"),
        pytest.param("reserve_stock", 7, 10, id="own-limit"),
        pytest.param("charge_card", 5, 20, id="own-limit-of-undo"),
        pytest.param("confirm_order", 5, None, id="pivot-is-an-action"),
        pytest.param("ship_order", 20, None, id="past-the-pivot"),
        pytest.param("send_receipt", 20, None, id="irreversible-past-the-pivot"),
    ],
)
def test_given_place_in_the_graph_when_limits_are_set_then_attempts_fit_it(
    order: Saga[Any], step: str, attempts: int, undo_attempts: int | None
) -> None:
    node = order.graph.by_name[step]
    assert node.limits.attempts == attempts
    assert (node.compensation.limits.attempts if node.compensation else None) == undo_attempts


def test_given_times_when_declared_then_seconds_with_their_defaults(order: Saga[Any]) -> None:
    reserve = order.graph.by_name["reserve_stock"]
    assert (reserve.limits.timeout_s, reserve.limits.queue_timeout_s) == (30.0, 900.0)
    assert reserve.compensation is not None
    assert (reserve.compensation.limits.timeout_s, reserve.compensation.limits.queue_timeout_s) == (
        60.0,
        3600.0,
    )


def test_given_order_saga_when_tasks_are_listed_then_names_and_queues_for_people(
    order: Saga[Any],
) -> None:
    assert [(task, queue) for task, _, _, queue in order.tasks()] == [
        ("order.create_order", "orders"),
        ("order.create_order.undo", "orders.undo"),
        ("order.reserve_stock", "inventory"),
        ("order.reserve_stock.undo", "inventory.undo"),
        ("order.charge_card", "payments"),
        ("order.charge_card.undo", "payments.undo"),
        ("order.confirm_order", "orders"),
        ("order.ship_order", "inventory"),
        ("order.send_receipt", "mail"),
    ]


def test_given_decorated_functions_when_called_then_they_are_the_plain_functions(
    order: Saga[Any], order_input: dict[str, Any]
) -> None:
    request = order_saga.OrderRequest(**order_input)
    ctx: Any = None
    assert order_saga.create_order(ctx, request) == order_saga.Created(order_id="ann-1")
    assert order_saga.release_stock(ctx, request, None) is None
    assert isinstance(order["create_order"], Step)
    assert order["create_order"] is order_saga.create_order
    assert vars(order_saga.create_order)["__name__"] == "create_order"
    assert list(inspect.signature(order_saga.create_order).parameters) == ["ctx", "o"]
    assert inspect.isfunction(order_saga.void_order)


def test_given_effects_and_invariants_when_registered_then_listed_and_still_plain(
    order: Saga[Any],
) -> None:
    assert order.effect_readers == {"payments": order_saga.charges}
    assert order.invariants == [order_saga.money]
    assert order_saga.charges(["k"]) == []


def test_given_input_model_when_schema_is_asked_then_strict_and_marked(order: Saga[Any]) -> None:
    schema = order.input_schema
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["additionalProperties"] is False
    assert schema["properties"]["card"]["writeOnly"] is True
    assert schema["properties"]["amount_cents"]["x-refused-above"] == 100_000


# --- order of steps --------------------------------------------------------------------------------------------------
def test_given_no_after_when_declared_then_each_step_follows_the_one_above() -> None:
    saga = saga_of()

    @saga.step(lane="a", no_effect=True)
    def one(ctx: Any, o: Ask) -> None: ...

    @saga.step(lane="a", no_effect=True)
    def two(ctx: Any, o: Ask) -> None: ...

    @saga.step(lane="a", no_effect=True, after=[])
    def root(ctx: Any, o: Ask) -> None: ...

    @saga.step(lane="a", no_effect=True, after=one)
    def single(ctx: Any, o: Ask) -> None: ...

    assert {n.name: n.after for n in saga.graph.nodes} == {
        "one": (),
        "two": ("one",),
        "root": (),
        "single": ("one",),
    }
    assert [s.name for s in saga] == ["one", "two", "root", "single"]
    assert "two" in saga
    assert "three" not in saga


def test_given_names_in_after_when_a_leader_is_declared_later_then_order_is_topological() -> None:
    saga = saga_of()

    @saga.step(lane="a", no_effect=True, after=["first"])
    def second(ctx: Any, o: Ask) -> None: ...

    @saga.step(lane="a", no_effect=True, after=[])
    def first(ctx: Any, o: Ask) -> None: ...

    assert [n.name for n in saga.graph.nodes] == ["first", "second"]


def test_given_no_pivot_when_a_step_is_irreversible_then_the_first_of_them_is_the_pivot() -> None:
    saga = saga_of()

    @saga.step(lane="a", undo=None)
    def write(ctx: Any, o: Ask) -> None: ...

    @saga.step(lane="a", irreversible=True, on_unknown="attention")
    def mail(ctx: Any, o: Ask) -> None: ...

    @saga.step(lane="a", irreversible=True, on_unknown="retry")
    def letter(ctx: Any, o: Ask) -> None: ...

    assert [
        (n.name, n.pivot, n.past_pivot, n.limits.attempts, n.on_unknown) for n in saga.graph.nodes
    ] == [
        ("write", False, False, 5, "retry"),
        ("mail", True, False, 5, "attention"),
        ("letter", False, True, 20, "retry"),
    ]


def test_given_confirmations_when_declared_with_and_without_arguments_then_retried_with_patience() -> (
    None
):
    saga = saga_of()

    @saga.step(lane="a", undo=None)
    def hold(ctx: Any, o: Ask) -> int:
        return 1

    @hold.confirm
    def show(ctx: Any, o: Ask) -> None: ...

    @saga.step(lane="a", undo=None, on_unknown_undo="undo")
    def keep(ctx: Any, o: Ask) -> int:
        return 1

    @keep.confirm(retry=Retry(limit=3), timeout="5s", queue_timeout="1h")
    def reveal(ctx: Any, o: Ask, own: int | None) -> None: ...

    first, second = (n.confirm for n in saga.graph.nodes)
    assert first is not None
    assert second is not None
    assert (first.attempts, first.timeout_s, first.queue_timeout_s) == (20, 60.0, 900.0)
    assert (second.attempts, second.timeout_s, second.queue_timeout_s) == (3, 5.0, 3600.0)
    assert [t.name for t in saga.tasks()] == [
        "s.hold",
        "s.hold.confirm",
        "s.keep",
        "s.keep.confirm",
    ]
    assert {t.queue for t in saga.tasks()} == {"a"}


# --- the digest ------------------------------------------------------------------------------------------------------
def digest(model: type[BaseModel] = Ask, **step: Any) -> str:
    saga = Saga("s", version=1, input=model)

    @saga.step(**{"lane": "a", "undo": None, **step})
    def only(ctx: Any, o: Any) -> None: ...

    return saga.digest


def test_given_same_definition_when_made_twice_then_same_digest() -> None:
    assert digest() == digest()
    assert len(digest()) == 16


@pytest.mark.parametrize(
    "change",
    [
        {"lane": "b"},
        {"timeout": "61s"},
        {"retry": Retry(limit=9)},
        {"pivot": True},
        {"note": "told"},
    ],
    ids=lambda c: next(iter(c)),
)
def test_given_changed_promise_when_digested_then_another_definition(
    change: dict[str, Any],
) -> None:
    assert digest(**change) != digest()


def test_given_limits_that_came_later_when_not_used_then_the_digest_of_before() -> None:
    assert digest() == "71b919d6f5be416f"
    assert digest(heartbeat_timeout="5s") != digest()


def test_given_renamed_words_when_pinned_then_stored_under_their_first_keys() -> None:
    saga = Saga("s", version=1, input=Ask)

    @saga.step(lane="a", heartbeat_timeout="5s", on_unknown_undo="replay", batchable=True)
    def book(ctx: Any, o: Ask) -> None: ...

    @book.compensate(fidelity="exact")
    def back(ctx: Any, o: Ask) -> None: ...

    (stored,) = saga.graph.to_json()["nodes"]
    assert (stored["settle"], stored["brief"]) == ("replay", True)
    assert stored["limits"]["stall_timeout_s"] == 5
    assert Graph.from_json(saga.graph.to_json()) == saga.graph


def test_given_heartbeat_timeouts_when_pinned_and_read_again_then_the_same() -> None:
    saga = Saga("s", version=1, input=Ask)

    @saga.step(lane="a", heartbeat_timeout="5s")
    def slow(ctx: Any, o: Any) -> None: ...

    @slow.compensate(fidelity="exact", heartbeat_timeout=7)
    def back(ctx: Any, o: Any) -> None: ...

    @slow.confirm(heartbeat_timeout="9s")
    def show(ctx: Any, o: Any) -> None: ...

    (node,) = Graph.from_json(json.loads(json.dumps(saga.graph.to_json()))).nodes
    assert [node.limits_of(kind).heartbeat_timeout_s for kind in ("action", "undo", "confirm")] == [
        5.0,
        7.0,
        9.0,
    ]


def test_given_corrected_docstring_when_digested_then_the_same_definition() -> None:
    def model(doc: str, **fields: Any) -> type[BaseModel]:
        return type("Words", (BaseModel,), {"__doc__": doc, "__annotations__": fields})

    assert digest(model("a typo", title=str)) == digest(model("a fix", title=str))
    assert digest(model("a typo", title=str)) != digest(model("a typo", title=int)), (
        "a field called title is no mere word"
    )
    assert digest(model("a typo", title=str)) != digest(model("a typo", title=str, description=str))


# --- mistakes that one line shows ------------------------------------------------------------------------------------
def plain(ctx: Any, o: Any) -> None: ...


def renamed(name: str) -> Callable[[Any, Any], None]:
    def fn(ctx: Any, o: Any) -> None: ...

    fn.__name__ = name
    return fn


def two_undos() -> None:
    step = saga_of().step(lane="a")(plain)
    step.compensate("exact")(plain)
    step.compensate("exact")(plain)


def two_probes() -> None:
    step = saga_of().step(lane="a")(plain)
    step.probe(plain)
    step.probe(plain)


def two_confirmations() -> None:
    step = saga_of().step(lane="a")(plain)
    step.confirm(plain)
    step.confirm(plain)


def same_name_twice() -> None:
    saga = saga_of()
    saga.step(lane="a")(plain)
    saga.step(lane="a")(plain)


def changed_after_use() -> None:
    saga = saga_of()
    saga.step(lane="a", undo=None)(plain)
    assert saga.graph
    saga.step(lane="a", undo=None)(renamed("late"))


def step_of_another_saga() -> None:
    foreign = Saga("other", version=1, input=Ask).step(lane="a")(plain)
    saga_of().step(lane="a", after=[foreign])(renamed("mine"))


def two_readers() -> None:
    saga = saga_of()
    saga.effect_reader("bank")(plain)
    saga.effect_reader("bank")(plain)


def step_with(**more: Any) -> Callable[[], object]:
    return lambda: saga_of().step(**{"lane": "a", **more})(plain)


def undo_with(**more: Any) -> Callable[[], object]:
    return lambda: (
        saga_of().step(lane="a")(plain).compensate(**{"fidelity": "exact", **more})(plain)
    )


ONE_LINE: list[tuple[str, Callable[[], object], str]] = [
    (
        "saga-unknown-word",
        lambda: saga_of(slaa="1h"),
        r"saga s: Saga\(\) knows no slaa=. Did you mean 'sla'\?",
    ),
    (
        "saga-name",
        lambda: Saga("My.Saga", version=1, input=Ask),
        r"a saga cannot be called 'My.Saga'. Use lower case",
    ),
    ("saga-version", lambda: saga_of(version=0), r"version=0. Say a whole number from 1 on"),
    ("saga-version-text", lambda: saga_of(version="1"), r"version='1'. Say a whole number"),
    ("saga-input", lambda: saga_of(input=dict), r"input=dict. Say a pydantic model"),
    ("saga-sla", lambda: saga_of(sla="soon"), r"saga s: sla: 'soon' is not a duration"),
    (
        "step-unknown-word",
        step_with(time_out="1s"),
        r"saga s: step\(\) knows no time_out=. Did you mean 'timeout'\?",
    ),
    (
        "step-later-word",
        step_with(locks=["k"]),
        r"step\(\) knows no locks=. There are: lane, after, retry",
    ),
    (
        "saga-forgotten-word",
        lambda: Saga("s", input=Ask),
        r"saga s: Saga\(\) is written Saga\(name, version=..., input=...\)",
    ),
    (
        "saga-without-a-word",
        lambda: Saga("s", 1, Ask),
        r"saga s: Saga\(\) is written Saga\(name, version",
    ),
    (
        "saga-nameless",
        lambda: Saga(version=1, input=Ask),
        r": Saga\(\) is written Saga\(name, version",
    ),
    (
        "saga-examples",
        lambda: saga_of(examples=Ask()),
        r"saga s: examples=Ask\(n=1\). Say a list: examples=\[Ask\(...\)\]",
    ),
    (
        "step-bare",
        lambda: saga_of().step(plain),
        r"saga s: step\(\) is written @s.step\(lane=...\)",
    ),
    (
        "step-forgotten-word",
        lambda: saga_of().step(),
        r"saga s: step\(\) is written @s.step\(lane=...\)",
    ),
    (
        "step-class",
        lambda: saga_of().step(lane="a")(Ask),
        r"saga s: a step must be a function written with def, not Ask",
    ),
    (
        "step-partial",
        lambda: saga_of().step(lane="a")(partial(plain)),
        r"a step must be a function written with def, not functools.partial",
    ),
    ("step-flag", step_with(pivot="no"), r"step plain: pivot='no'. Say True or False"),
    ("step-note", step_with(note=3), r"step plain: note=3. Say a text"),
    ("step-lane", step_with(lane="pay.ments"), r"step plain: a lane cannot be called 'pay.ments'"),
    ("step-lane-type", step_with(lane=None), r"lane=None. Say the lane's name"),
    (
        "step-name",
        lambda: saga_of().step(lane="a")(renamed("_hidden")),
        r"a step cannot be called '_hidden'. Use lower case",
    ),
    (
        "step-lambda",
        lambda: saga_of().step(lane="a")(lambda ctx, o: None),
        r"a step cannot be called '<lambda>'",
    ),
    (
        "step-twice",
        same_name_twice,
        r"saga s has a step plain already \(.*test_definition.py:\d+\). Rename one",
    ),
    ("step-timeout", step_with(timeout="1 hour"), r"plain: timeout: '1 hour' is not a duration"),
    ("step-timeout-zero", step_with(timeout=0), r"plain: timeout=0 is not a duration"),
    (
        "step-queue-timeout",
        step_with(queue_timeout="-1s"),
        r"plain: queue_timeout: '-1s' is not a duration",
    ),
    (
        "step-stall-timeout",
        step_with(heartbeat_timeout="soon"),
        r"plain: heartbeat_timeout: 'soon' is not a duration",
    ),
    ("step-retry", step_with(retry=5), r"plain: retry=5. Say retry=Retry\(limit=5\)"),
    (
        "step-undo",
        step_with(undo=plain),
        r"step plain: undo=plain. Only undo=None.*@plain.compensate\(fidelity=...\)",
    ),
    (
        "step-on-unknown",
        step_with(on_unknown="ignore"),
        r"step plain: on_unknown='ignore'. Say 'retry' or 'attention'",
    ),
    (
        "step-on-unknown-undo",
        step_with(on_unknown_undo="wait"),
        r"step plain: on_unknown_undo='wait'. Say 'undo' or 'replay'",
    ),
    ("step-after-function", step_with(after=[plain]), r"after= holds plain, which is not a step"),
    ("step-after-number", step_with(after=3), r"after= holds 3, which is not a step"),
    (
        "step-after-foreign",
        step_of_another_saga,
        r"step mine: after= holds plain, a step of saga other. Name steps of s",
    ),
    (
        "undo-forgotten-word",
        lambda: saga_of().step(lane="a")(plain).compensate(),
        r"step plain: compensate\(\) is written @plain.compensate",
    ),
    (
        "undo-partial",
        lambda: saga_of().step(lane="a")(plain).compensate("exact")(partial(plain)),
        r"step plain: its undo must be a function",
    ),
    (
        "probe-brackets",
        lambda: saga_of().step(lane="a")(plain).probe(),
        r"step plain: probe\(\) is written @plain.probe, without brackets",
    ),
    (
        "reader-bare",
        lambda: saga_of().effect_reader(plain),
        r"saga s: effect_reader\(\) is written @s.effect_reader\(service=...\)",
    ),
    ("undo-fidelity", undo_with(fidelity="good"), r"fidelity='good': say how well the undo undoes"),
    ("undo-bare", undo_with(fidelity=plain), r"fidelity=plain: say how well"),
    (
        "undo-unknown-word",
        undo_with(nte="x"),
        r"step plain: compensate\(\) knows no nte=. Did you mean 'note'\?",
    ),
    ("undo-timeout", undo_with(timeout="x"), r"plain: timeout: 'x' is not a duration"),
    (
        "undo-twice",
        two_undos,
        r"step plain: has two compensations, plain \(.*\) and plain: keep one",
    ),
    ("probe-twice", two_probes, r"step plain: has two probes"),
    ("confirm-twice", two_confirmations, r"step plain: has two confirmations"),
    ("changed-after-use", changed_after_use, r"saga s is in use already, so it cannot change"),
    ("reader-twice", two_readers, r"saga s: 'bank' has a reader already"),
    (
        "lookup",
        lambda: order_saga.order["reserve_stok"],
        r"saga order has no step 'reserve_stok'. Did you mean 'reserve_stock'\?",
    ),
]


@pytest.mark.parametrize(
    ("make", "said"), [pytest.param(make, said, id=name) for name, make, said in ONE_LINE]
)
def test_given_mistake_in_one_line_when_declared_then_file_line_and_what_to_change(
    make: Callable[[], object], said: str
) -> None:
    with pytest.raises(DefinitionError, match=said) as caught:
        make()
    path, line, _ = caught.value.message.split(":", 2)
    assert path.endswith("test_definition.py")
    assert int(line) > 0


def test_given_wrong_argument_when_refused_then_the_very_line_is_named() -> None:
    saga = saga_of()
    with pytest.raises(DefinitionError) as caught:
        saga.step(lane="a", brekaer="bank")  # type: ignore[call-arg]
    line = (
        inspect.getsourcelines(test_given_wrong_argument_when_refused_then_the_very_line_is_named)[
            1
        ]
        + 3
    )
    assert caught.value.message.split(": ")[0].endswith(f"test_definition.py:{line}")


class Stolen(RuntimeError):
    pass


@pytest.mark.parametrize(
    ("fatal", "said"),
    [
        (Stolen, "Say a list of exceptions"),
        ([Stolen("x")], "is not an exception class"),
        (["Stolen"], "is not an exception class"),
        ([Exception], "takes in every accident"),
        ([Stolen, Rejected], "fatal has Rejected, which has a meaning of its own"),
    ],
)
def test_given_fatal_that_cannot_be_meant_when_declared_then_refused_by_line(
    fatal: Any, said: str
) -> None:
    saga = Saga("card", version=1, input=Ask)
    with pytest.raises(DefinitionError, match=r"test_definition.py:\d+") as refused:

        @saga.step(lane="a", no_effect=True, fatal=fatal)
        def charge(ctx, o): ...

    assert said in str(refused.value)


def test_given_fatal_when_digested_then_the_same_definition() -> None:
    def made(fatal: Any) -> Saga[Any]:
        saga = Saga("card", version=1, input=Ask)

        @saga.step(lane="a", no_effect=True, fatal=fatal)
        def charge(ctx, o): ...

        return saga

    assert made([Stolen]).digest == made([]).digest
    assert made([Stolen])["charge"].fatal == (Stolen,)
