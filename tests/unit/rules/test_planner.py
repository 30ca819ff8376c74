"""Plans: linear runs, forks that meet, and what rides on what."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.app.rules.planner import (
    BATCH_LIMIT,
    CHAIN_LIMIT,
    CHAIN_MESSAGES,
    Layout,
    Message,
    UndoOrder,
    lay_out,
    leaving,
    sent_with,
    to_plan,
)


def edges(after: dict[str, str]) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    leaders = {step: tuple(before.split()) for step, before in after.items()}
    followers = {step: tuple(other for other in after if step in leaders[other]) for step in after}
    return followers, leaders


ORDER = {
    "create": "",
    "reserve": "create",
    "charge": "create",
    "confirm": "reserve charge",
    "ship": "confirm",
    "mail": "ship",
}


def one_lane(step: str) -> str:
    return "lane"


@pytest.mark.parametrize(
    ("ready", "runs", "forks"),
    [
        pytest.param(["create"], (("create",),), (), id="a fork ends the run"),
        pytest.param(
            ["reserve", "charge"],
            (),
            (((("reserve",), ("charge",)), ("confirm", "ship", "mail")),),
            id="two runs that meet are a chord",
        ),
        pytest.param(["charge"], (("charge",),), (), id="one half alone is no chord"),
        pytest.param(["ship"], (("ship", "mail"),), (), id="a linear run is one chain"),
    ],
)
def test_given_what_is_ready_then_the_plan_is(
    ready: list[str], runs: tuple[object, ...], forks: tuple[object, ...]
) -> None:
    assert lay_out(ready, *edges(ORDER), one_lane) == Layout(runs=runs, forks=forks)  # type: ignore[arg-type]


def test_given_a_plan_then_everything_but_the_first_of_each_run_rides() -> None:
    assert lay_out(["reserve", "charge"], *edges(ORDER), one_lane).riding == {
        "confirm",
        "ship",
        "mail",
    }


@pytest.mark.parametrize(
    ("lanes", "length"),
    [
        pytest.param("a" * 15, CHAIN_LIMIT, id="one lane"),
        pytest.param("abcabc", CHAIN_MESSAGES, id="a lane for each"),
        pytest.param("aabbccdd", 6, id="stretches"),
        pytest.param("abbbbbbba", 9, id="to the end"),
    ],
)
def test_given_a_run_longer_than_the_limit_or_across_more_lanes_then_it_is_cut(
    lanes: str, length: int
) -> None:
    lane = {f"s{n}": lane for n, lane in enumerate(lanes)}
    names = list(lane)
    (run,) = lay_out(
        ["s0"],
        *edges({n: names[i - 1] if i else "" for i, n in enumerate(names)}),
        lane.__getitem__,
    ).runs
    assert run == tuple(names[:length])


def test_given_two_joins_on_the_same_runs_then_there_is_no_chord() -> None:
    shape = {"a": "", "b": "", "c": "a b", "d": "a b"}
    assert lay_out(["a", "b"], *edges(shape), one_lane) == Layout(runs=(("a",), ("b",)), forks=())


def fork_of(members: int) -> dict[str, str]:
    names = [f"m{n}" for n in range(members)]
    return dict.fromkeys(names, "") | {"join": " ".join(names)}


def batches_of(
    shape: dict[str, str], batchable: set[str], lane: Callable[[str], str] = one_lane
) -> list[str]:
    layout = lay_out(
        [step for step in shape if not shape[step]], *edges(shape), lane, batchable.__contains__
    )
    return [" ".join(run) for header, _ in layout.forks for run in header] + [
        " ".join(run) for run in layout.runs
    ]


@pytest.mark.parametrize(
    ("members", "batches"),
    [
        pytest.param(2, ["m0", "m1"], id="two run side by side"),
        pytest.param(3, ["m0", "m1 m2"], id="never one batch"),
        pytest.param(10, ["m0 m1 m2 m3 m4", "m5 m6 m7 m8 m9"], id="ten"),
        pytest.param(11, ["m0 m1 m2", "m3 m4 m5 m6", "m7 m8 m9 m10"], id="evenly"),
    ],
)
def test_given_brief_members_then_they_share_messages(members: int, batches: list[str]) -> None:
    shape = fork_of(members)
    assert batches_of(shape, set(shape)) == batches
    assert max(len(batch.split()) for batch in batches) <= BATCH_LIMIT


@pytest.mark.parametrize(
    ("shape", "batchable", "batches"),
    [
        pytest.param(
            fork_of(4),
            {"m0", "m2", "m3"},
            ["m0", "m1", "m2 m3"],
            id="what is not batchable has a message of its own",
        ),
        pytest.param(
            fork_of(3) | {"m2x": "m2", "join": "m0 m1 m2x"},
            {"m0", "m1", "m2"},
            ["m0", "m1", "m2 m2x"],
            id="a longer run",
        ),
        pytest.param(
            dict.fromkeys("abc", "") | {"d": "a b", "e": "c"},
            set("abc"),
            ["a", "b", "c e"],
            id="to different ends",
        ),
        pytest.param(dict.fromkeys("abcd", ""), set("abcd"), ["a b", "c d"], id="to no end"),
    ],
)
def test_given_members_that_are_not_alike_then_only_those_that_are_share(
    shape: dict[str, str], batchable: set[str], batches: list[str]
) -> None:
    assert batches_of(shape, batchable) == batches


def test_given_brief_members_of_two_lanes_then_a_message_is_of_one_lane() -> None:
    shape = fork_of(6)
    assert batches_of(shape, set(shape), lambda step: "odd" if step[-1] in "135" else "even") == [
        "m0",
        "m1",
        "m2 m4",
        "m3 m5",
    ]


def test_given_packs_then_their_members_ride_on_nothing_and_count_as_sent_with_the_message() -> (
    None
):
    shape = fork_of(4)
    layout = lay_out(["m0", "m1", "m2", "m3"], *edges(shape), one_lane, lambda step: True)
    assert layout.riding == {"join"}
    plan = to_plan(layout, lambda step: Message(step, step, "lane", "job"))
    assert [message.operation_id for message in leaving(plan)] == ["m0", "m2"]
    assert [message.operation_id for message in sent_with(plan)] == ["m0", "m1", "m2", "m3"]


def undo_order(
    after: dict[str, str], chosen: str
) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    followers, leaders = edges(after)
    order = UndoOrder(chosen.split(), followers, leaders, reachability(followers))
    return {step: order.followers[step] for step in chosen.split()}, {
        step: order.leaders[step] for step in chosen.split()
    }


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
def test_given_any_graph_then_undos_wait_for_the_nearest_ones_and_for_no_other(
    shape: list[tuple[set[int], bool]],
) -> None:
    after = {
        f"s{n}": " ".join(f"s{m}" for m in sorted(before) if m < n)
        for n, (before, _) in enumerate(shape)
    }
    chosen = [f"s{n}" for n, (_, undone) in enumerate(shape) if undone]
    reachable = reachability(edges(after)[0])
    followers, leaders = undo_order(after, " ".join(chosen))
    for step in chosen:
        later = reachable[step] & set(chosen)
        assert set(leaders[step]) == {a for a in later if not any(a in reachable[b] for b in later)}
        assert set(followers[step]) == {w for w in chosen if step in leaders[w]}
