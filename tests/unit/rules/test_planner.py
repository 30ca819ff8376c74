"""Plans: linear runs, forks that meet, and what rides on what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.rules.planner import CHAIN_LIMIT, CHAIN_MESSAGES, Layout, UndoOrder, lay_out


def edges(after: dict[str, str]) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    leaders = {step: tuple(before.split()) for step, before in after.items()}
    followers = {step: tuple(other for other in after if step in leaders[other]) for step in after}
    return followers, leaders


ORDER = {"create": "", "reserve": "create", "charge": "create", "confirm": "reserve charge", "ship": "confirm", "mail": "ship"}


def one_lane(step: str) -> str:
    return "lane"


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
    assert lay_out(ready, *edges(ORDER), one_lane) == Layout(runs=runs, forks=forks)  # type: ignore[arg-type]


def test_given_a_plan_then_everything_but_the_first_of_each_run_rides() -> None:
    assert lay_out(["reserve", "charge"], *edges(ORDER), one_lane).riding == {"confirm", "ship", "mail"}


@pytest.mark.parametrize(
    ("lanes", "length"),
    [
        pytest.param("a" * 15, CHAIN_LIMIT, id="one lane"),
        pytest.param("abcabc", CHAIN_MESSAGES, id="a lane for each"),
        pytest.param("aabbccdd", 6, id="stretches"),
        pytest.param("abbbbbbba", 9, id="to the end"),
    ],
)
def test_given_a_run_longer_than_the_limit_or_across_more_lanes_then_it_is_cut(lanes: str, length: int) -> None:
    lane = {f"s{n}": lane for n, lane in enumerate(lanes)}
    names = list(lane)
    (run,) = lay_out(["s0"], *edges({n: names[i - 1] if i else "" for i, n in enumerate(names)}), lane.__getitem__).runs
    assert run == tuple(names[:length])


def test_given_two_joins_on_the_same_runs_then_there_is_no_chord() -> None:
    shape = {"a": "", "b": "", "c": "a b", "d": "a b"}
    assert lay_out(["a", "b"], *edges(shape), one_lane) == Layout(runs=(("a",), ("b",)), forks=())


def undo_order(after: dict[str, str], chosen: str) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    followers, leaders = edges(after)
    order = UndoOrder(chosen.split(), followers, leaders, reachability(followers))
    return {step: order.followers[step] for step in chosen.split()}, {step: order.leaders[step] for step in chosen.split()}


def reachability(followers: dict[str, tuple[str, ...]]) -> dict[str, frozenset[str]]:
    def reach(step: str) -> frozenset[str]:
        return frozenset(followers[step]).union(*(reach(after) for after in followers[step]))

    return {step: reach(step) for step in followers}


def test_given_a_step_without_undo_in_between_then_the_order_of_undos_reaches_across_it() -> None:
    followers, leaders = undo_order({"a": "", "b": "a", "c": "b", "d": "c"}, "a c d")
    assert leaders == {"a": ("c",), "c": ("d",), "d": ()}
    assert followers == {"a": (), "c": ("a",), "d": ("c",)}


def test_given_a_short_cut_past_an_undo_then_only_the_longer_way_counts() -> None:
    followers, leaders = undo_order({"a": "", "b": "a", "c": "a b"}, "a b c")
    assert leaders == {"a": ("b",), "b": ("c",), "c": ()}
    assert followers == {"a": (), "b": ("a",), "c": ("b",)}


@given(st.lists(st.tuples(st.sets(st.integers(0, 8)), st.booleans()), min_size=1, max_size=9))
def test_given_any_graph_then_undos_wait_for_the_nearest_ones_and_for_no_other(shape: list[tuple[set[int], bool]]) -> None:
    after = {f"s{n}": " ".join(f"s{m}" for m in sorted(before) if m < n) for n, (before, _) in enumerate(shape)}
    chosen = [f"s{n}" for n, (_, undone) in enumerate(shape) if undone]
    reachable = reachability(edges(after)[0])
    followers, leaders = undo_order(after, " ".join(chosen))
    for step in chosen:
        later = reachable[step] & set(chosen)
        assert set(leaders[step]) == {a for a in later if not any(a in reachable[b] for b in later)}
        assert set(followers[step]) == {w for w in chosen if step in leaders[w]}
