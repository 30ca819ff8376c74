from __future__ import annotations

import json
from collections.abc import Callable
from itertools import combinations
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from surefoot.app.saga.definition import Saga
from surefoot.app.saga.graph import Graph, digest_of
from surefoot.app.saga.graph_builder import topological


class Ask(BaseModel):
    n: int = 1


@st.composite
def edges(draw: st.DrawFn) -> dict[str, tuple[str, ...]]:
    """step -> the steps it waits for: any DAG of up to nine steps, declared in any order."""
    names = [f"s{i}" for i in range(draw(st.integers(1, 9)))]
    after = {
        name: tuple(draw(st.lists(st.sampled_from(names[:i]), unique=True))) if i else ()
        for i, name in enumerate(names)
    }
    return {name: after[name] for name in draw(st.permutations(names))}


def function(name: str) -> Callable[..., int]:
    def fn(ctx: Any, o: Any) -> int:
        return 1

    fn.__name__ = name
    return fn


def saga_of(after: dict[str, tuple[str, ...]]) -> Saga[Ask]:
    saga = Saga("any", version=1, input=Ask)
    for name, leaders in after.items():
        step = saga.step(lane="a", after=list(leaders))(function(name))
        step.compensate(fidelity="exact")(function(f"undo_{name}"))
        step.confirm(function(f"confirm_{name}"))
    return saga


def paths(after: dict[str, tuple[str, ...]], start: str) -> set[str]:
    """Every step behind `start`, by walking: what `reachable` must agree with."""
    found: set[str] = set()
    while (
        more := {name for name, leaders in after.items() if {start, *found} & set(leaders)} - found
    ):
        found |= more
    return found


@given(edges())
def test_given_any_dag_when_made_a_graph_then_orders_agree_with_it(
    after: dict[str, tuple[str, ...]],
) -> None:
    graph = saga_of(after).graph
    order = [node.name for node in graph.nodes]
    assert sorted(order) == sorted(after)
    for name, leaders in after.items():
        assert graph.by_name[name].after == leaders
        assert all(order.index(leader) < order.index(name) for leader in leaders)
        assert graph.reachable[name] == paths(after, name)
        assert set(graph.followers[name]) == {
            other for other, known in after.items() if name in known
        }
        for later in graph.reachable[name]:
            assert graph.rank(name, "action") < graph.rank(later, "action")
            assert graph.rank(name, "undo") > graph.rank(later, "undo")
            assert graph.rank(name, "confirm") < graph.rank(later, "confirm")
    ranks = [graph.rank(name, kind) for name in after for kind in ("action", "undo", "confirm")]
    assert sorted(ranks) == list(range(3 * len(after)))
    assert all(
        graph.rank(a, "action") < graph.rank(b, "undo") < graph.rank(a, "confirm")
        for a, b in combinations(order, 2)
    )


@given(edges())
def test_given_any_dag_when_kept_as_json_then_the_same_graph_and_digest_come_back(
    after: dict[str, tuple[str, ...]],
) -> None:
    saga = saga_of(after)
    back = Graph.from_json(json.loads(json.dumps(saga.graph.to_json())))
    assert back == saga.graph
    assert back.reachable == saga.graph.reachable
    assert digest_of(back, json.loads(json.dumps(saga.input_schema))) == saga.digest


@given(edges())
def test_given_steps_declared_in_a_possible_order_when_made_a_graph_then_that_order_stays(
    after: dict[str, tuple[str, ...]],
) -> None:
    declared = topological(after)
    assert [
        n.name for n in saga_of({name: after[name] for name in declared}).graph.nodes
    ] == declared


def test_given_order_saga_when_kept_as_json_then_the_same_comes_back(order: Saga[Any]) -> None:
    assert Graph.from_json(json.loads(json.dumps(order.graph.to_json()))) == order.graph


def test_given_cycle_when_ordered_then_what_lies_on_or_behind_it_is_left_out() -> None:
    assert topological({"a": (), "b": ("a", "c"), "c": ("b",), "d": ("c",), "e": ("a",)}) == [
        "a",
        "e",
    ]
