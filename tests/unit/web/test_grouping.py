"""A wide fork is one box and one row, which count its members."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from surefoot.app.saga.graph import Compensation, Graph, Limits, Node
from surefoot.web.pages.drawing import draw
from surefoot.web.pages.grouping import folded, folded_effects, groups_of, overall

LIMITS = Limits(attempts=5, timeout_s=60, queue_timeout_s=60)
MEMBERS = [f"copy_{number}" for number in range(20)]


def node(name: str, *after: str, undo: str | None = None, lane: str = "lane") -> Node:
    compensation = Compensation(undo, "lane", "exact", "", LIMITS) if undo else None
    return Node(name, lane, after, LIMITS, compensation=compensation)


def fork() -> Graph:
    members = [node(name, "first", undo=f"pulp_{name}") for name in MEMBERS]
    few = [node(f"other_{number}", "first", lane="other") for number in range(3)]
    return Graph(
        "s",
        1,
        60.0,
        (node("first"), *members, *few, node("last", *MEMBERS, *(one.name for one in few))),
    )


def step(
    name: str, state: str = "pending", undo: str = "not_needed", **more: Any
) -> dict[str, Any]:
    told = {
        "name": name,
        "title": name,
        "state": state,
        "attempts": 1,
        "lane": "lane",
        "error": None,
    }
    times = {"started_at": None, "finished_at": None}
    compensation = {"state": undo, "fidelity": "exact"} if name in MEMBERS else None
    return {**told, **times, "compensation": compensation, **more}


def steps() -> list[dict[str, Any]]:
    states = ["failed", "running", *["completed"] * 18]
    found = [
        step(name, state, "completed" if state == "completed" else "not_needed")
        for name, state in zip(MEMBERS, states, strict=True)
    ]
    return [
        step("first", "completed"),
        *found,
        *(step(f"other_{number}") for number in range(3)),
        step("last"),
    ]


def test_given_a_wide_fork_when_folded_then_one_node_that_counts_and_names_what_went_wrong() -> (
    None
):
    groups = groups_of(fork())
    assert [(group.name, len(group.members)) for group in groups] == [("copy_… × 20", 20)]
    graph, shown = folded(fork(), steps(), groups)
    assert [one.name for one in graph.nodes] == [
        "first",
        "copy_… × 20",
        "other_0",
        "other_1",
        "other_2",
        "last",
    ]
    assert graph.by_name["last"].after == ("copy_… × 20", "other_0", "other_1", "other_2")
    (row,) = [one for one in shown if "members" in one]
    assert row["members"] == {"failed": 1, "running": 1, "completed": 18}
    assert (row["state"], row["attempts"]) == ("failed", 20)
    assert [one["name"] for one in row["named"]] == ["copy_0", "copy_1"]
    assert row["compensation"]["members"] == {"not_needed": 2, "completed": 18}
    assert row["compensation"]["state"] == "completed"


def test_given_a_folded_fork_when_drawn_then_a_box_with_a_bar_as_wide_as_its_counts() -> None:
    graph, shown = folded(fork(), steps(), groups_of(fork()))
    drawing = draw(graph, shown)
    action, undo = [box for box in drawing.boxes if box.bar]
    assert [(part.state, part.count) for part in action.bar] == [
        ("completed", 18),
        ("failed", 1),
        ("running", 1),
    ]
    assert undo.name == "pulp_copy_… × 20"
    for bar in (action.bar, undo.bar):
        assert all(left.x + left.width == right.x for left, right in pairwise(bar))
        assert bar[-1].x + bar[-1].width <= 168
    assert drawing.height < 600


def test_given_a_narrow_fork_or_a_chain_then_nothing_is_folded() -> None:
    narrow = Graph("s", 1, 60.0, (node("a"), *(node(f"b{number}", "a") for number in range(7))))
    assert groups_of(narrow) == []
    assert folded(narrow, [step(one.name) for one in narrow.nodes], [])[0].nodes == narrow.nodes


def test_given_a_step_that_was_undone_when_drawn_then_it_is_gone() -> None:
    graph = Graph(
        "s", 1, 60.0, (node("copy_0", undo="pulp"), node("copy_1", "copy_0", undo="pulp_1"))
    )
    drawing = draw(graph, [step("copy_0", "completed", "completed"), step("copy_1", "failed")])
    assert [(box.full, box.gone) for box in drawing.boxes if not box.undo] == [
        ("copy_0", True),
        ("copy_1", False),
    ]
    assert [line.state for line in drawing.lines if not line.undo] == ["gone"]


def test_given_effects_of_a_fork_when_folded_then_counted_in_one_row() -> None:
    def effect(name: str, outcome: str, undo: str) -> dict[str, Any]:
        return {
            "step": name,
            "title": name,
            "outcome": outcome,
            "fidelity": "exact",
            "undo": {"state": undo, "note": ""},
        }

    found = [
        effect("first", "done", "not_needed"),
        *(effect(name, "done", "done") for name in MEMBERS[1:]),
        effect(MEMBERS[0], "none", "not_needed"),
    ]
    rows = folded_effects(found, groups_of(fork()))
    assert [row["step"] for row in rows] == ["first", "copy_… × 20"]
    assert (rows[1]["outcomes"], rows[1]["undos"]) == (
        {"done": 19, "none": 1},
        {"done": 19, "not_needed": 1},
    )


def test_given_states_then_what_matters_most_is_the_whole() -> None:
    assert overall(["completed", "running", "failed"]) == "failed"
    assert overall(["completed", "not_started"]) == "not_started"
    assert overall(["completed", "not_needed"]) == "completed"
    assert overall([]) == "pending"
