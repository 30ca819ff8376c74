"""Plans: linear runs, forks that meet, and what rides on what."""

from __future__ import annotations

import pytest

from app.rules.planner import CHAIN_LIMIT, Layout, lay_out, undo_edges


def edges(after: dict[str, str]) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    leaders = {step: tuple(before.split()) for step, before in after.items()}
    followers = {step: tuple(other for other in after if step in leaders[other]) for step in after}
    return followers, leaders


ORDER = {"create": "", "reserve": "create", "charge": "create", "confirm": "reserve charge", "ship": "confirm", "mail": "ship"}


@pytest.mark.parametrize(
    ("ready", "runs", "forks"),
    [
        pytest.param(["create"], (("create",),), (), id="a fork ends the run"),
        pytest.param(
            ["reserve", "charge"], (), (((("reserve",), ("charge",)), ("confirm", "ship", "mail")),), id="two runs that meet are a chord"
        ),
        pytest.param(["charge"], (("charge",),), (), id="one half alone is no chord"),
        pytest.param(["ship"], (("ship", "mail"),), (), id="a linear run is one chain"),
    ],
)
def test_given_what_is_ready_then_the_plan_is(ready: list[str], runs: tuple[object, ...], forks: tuple[object, ...]) -> None:
    assert lay_out(ready, *edges(ORDER)) == Layout(runs=runs, forks=forks)  # type: ignore[arg-type]


def test_given_a_plan_then_everything_but_the_first_of_each_run_rides() -> None:
    assert lay_out(["reserve", "charge"], *edges(ORDER)).riding == {"confirm", "ship", "mail"}


def test_given_a_run_longer_than_the_limit_then_it_is_cut() -> None:
    names = [f"s{n}" for n in range(CHAIN_LIMIT + 5)]
    (run,) = lay_out(["s0"], *edges({n: names[i - 1] if i else "" for i, n in enumerate(names)})).runs
    assert len(run) == CHAIN_LIMIT


def test_given_two_joins_on_the_same_runs_then_there_is_no_chord() -> None:
    shape = {"a": "", "b": "", "c": "a b", "d": "a b"}
    assert lay_out(["a", "b"], *edges(shape)) == Layout(runs=(("a",), ("b",)), forks=())


def test_given_a_pure_step_in_between_then_undo_edges_reach_across_it() -> None:
    reachable = {"a": frozenset("bcd"), "b": frozenset("cd"), "c": frozenset("d"), "d": frozenset()}
    followers, leaders = undo_edges(["a", "c", "d"], reachable)
    assert leaders == {"a": ("c",), "c": ("d",), "d": ()}
    assert followers == {"a": (), "c": ("a",), "d": ("c",)}
