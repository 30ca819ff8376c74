"""The members of a wide fork as one: a page counts them and names those that failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

from surefoot.app.saga.graph import Graph, Node

GROUP_LEAST = 8  # members that a fork has at least to be drawn as one
NAMED_MOST = 5  # of a group's members that failed or are under way
NOTEWORTHY = ("failed", "running", "waiting", "stopped")
# What a group is as a whole: the first of these that any member is, and at last what all are.
FIRST = (
    *NOTEWORTHY,
    "queued",
    "pending",
    "not_started",
    "waived",
    "completed",
    "skipped",
    "not_needed",
)


@dataclass(frozen=True)
class Group:
    """Members of one fork: they wait for the same steps, and the same steps wait for them."""

    name: str
    members: tuple[str, ...]


def groups_of(graph: Graph) -> list[Group]:
    """The forks of this graph that have GROUP_LEAST members or more."""
    alike: dict[Any, list[Node]] = {}
    for node in graph.nodes:
        undone = node.compensation is not None
        key = (frozenset(node.after), graph.followers[node.name], node.lane, node.pivot, undone)
        alike.setdefault(key, []).append(node)
    found = [tuple(node.name for node in nodes) for nodes in alike.values()]
    return [Group(_named(names), names) for names in found if len(names) >= GROUP_LEAST]


def _named(names: Sequence[str]) -> str:
    """As `copy_… × 100`."""
    first, last = min(names), max(names)
    alike = sum(
        1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    )
    return f"{first[:alike] or first}… × {len(names)}"


def overall(states: Iterable[str]) -> str:
    """The state of a group, from those of its members."""
    found = set(states)
    return next((state for state in FIRST if state in found), "pending")


def folded(
    graph: Graph, steps: Sequence[Mapping[str, Any]], groups: Sequence[Group]
) -> tuple[Graph, list[Mapping[str, Any]]]:
    """Graph and steps with each group in the place of its members.

    A group's step has `members`: how many are in each state; so has its compensation.
    """
    of = {name: group for group in groups for name in group.members}
    by_name = {step["name"]: step for step in steps}
    nodes: list[Node] = []
    shown: list[Mapping[str, Any]] = []
    for node in graph.nodes:
        group = of.get(node.name)
        if group is not None and node.name != group.members[0]:
            continue
        after = tuple(dict.fromkeys(of[name].name if name in of else name for name in node.after))
        if group is None:
            nodes.append(replace(node, after=after))
            shown.append(by_name[node.name])
            continue
        undo = node.compensation
        undos = [one.name for name in group.members if (one := graph.by_name[name].compensation)]
        named = undo and replace(undo, name=_named(undos))
        nodes.append(replace(node, name=group.name, after=after, compensation=named))
        shown.append(_as_one(group, [by_name[name] for name in group.members]))
    return replace(graph, nodes=tuple(nodes)), shown


def _as_one(group: Group, members: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    states = Counter(str(step["state"]) for step in members)
    undos = [step["compensation"] for step in members if step["compensation"]]
    undone = Counter(str(undo["state"]) for undo in undos)
    compensation = None
    if undos:
        fidelity = undos[0]["fidelity"]
        compensation = {
            "state": overall(undone),
            "fidelity": fidelity,
            "attempts": 0,
            "members": undone,
        }
    return {
        "name": group.name,
        "title": group.name,
        "state": overall(states),
        "attempts": sum(step["attempts"] for step in members),
        "lane": members[0]["lane"],
        "started_at": min(filter(None, (step["started_at"] for step in members)), default=None),
        "finished_at": max(filter(None, (step["finished_at"] for step in members)), default=None),
        "error": None,
        "compensation": compensation,
        "members": states,
        "named": [step for step in members if step["state"] in NOTEWORTHY][:NAMED_MOST],
    }


def folded_effects(
    effects: Sequence[Mapping[str, Any]], groups: Sequence[Group]
) -> list[dict[str, Any]]:
    """Rows of effects with each group's as one: `outcomes` and `undos` count its members."""
    of = {name: group for group in groups for name in group.members}
    rows: dict[str, dict[str, Any]] = {}
    for effect in effects:
        group = of.get(effect["step"])
        if group is None:
            rows[effect["step"]] = dict(effect)
            continue
        row = rows.setdefault(
            group.name,
            {
                **effect,
                "step": group.name,
                "title": group.name,
                "outcomes": Counter(),
                "undos": Counter(),
            },
        )
        row["outcomes"][effect["outcome"]] += 1
        row["undos"][effect["undo"]["state"]] += 1
    return list(rows.values())
