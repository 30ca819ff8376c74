"""How large a saga may be: what is allowed is quick to make, what is not is refused with the figure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from surefoot.app.errors import DefinitionError
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.graph_builder import descendants, ordered_pairs, topological
from surefoot.app.saga.lint import MAX_PAIRS, MAX_STEPS


class Nothing(BaseModel):
    """An empty input."""


def empty(name: str) -> Callable[..., None]:
    def step(ctx: Any, o: Any) -> None:
        return None

    step.__name__ = step.__qualname__ = name
    return step


def saga_of(steps: int, *, chained: bool) -> Saga[Nothing]:
    saga = Saga("large", version=1, input=Nothing)
    members = [
        saga.step(lane="a", after=None if chained else [], no_effect=True)(empty(f"s{n}"))
        for n in range(steps)
    ]
    if not chained:
        saga.step(lane="a", after=members, no_effect=True)(empty("join"))
    return saga


def test_given_a_fork_as_wide_as_is_allowed_then_its_graph_is_made() -> None:
    graph = saga_of(MAX_STEPS - 1, chained=False).graph
    assert len(graph.leaders["join"]) == MAX_STEPS - 1
    assert graph.rank("join", "action") == MAX_STEPS - 1
    assert graph.followers["s0"] == ("join",)


def test_given_more_steps_than_are_taken_then_refused_with_both_figures() -> None:
    with pytest.raises(
        DefinitionError, match=rf"has {MAX_STEPS + 1:,} steps; at most {MAX_STEPS:,} are taken"
    ):
        _ = saga_of(MAX_STEPS, chained=False).graph


def test_given_a_chain_whose_closure_is_too_large_then_refused_before_it_is_made() -> None:
    steps = 2_000
    with pytest.raises(
        DefinitionError,
        match=rf"has {steps * (steps - 1) // 2:,} pairs .* at most {MAX_PAIRS:,} are kept",
    ):
        _ = saga_of(steps, chained=True).graph


def test_given_a_chain_of_three_hundred_then_its_graph_is_made() -> None:
    assert len(saga_of(300, chained=True).graph.nodes) == 300


def test_given_a_graph_then_its_pairs_are_counted_as_they_are() -> None:
    after = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c"), "e": ()}
    order = topological(after)
    assert order == ["a", "b", "c", "d", "e"]
    assert ordered_pairs(after, order) == sum(map(len, descendants(after, order).values())) == 5


def test_given_steps_declared_before_their_leaders_then_the_order_is_as_near_as_may_be() -> None:
    assert topological({"z": ("m",), "m": (), "b": (), "a": ("z", "z")}) == ["m", "z", "b", "a"]
    assert topological({"a": ("b",), "b": ("a",), "c": ()}) == ["c"]
