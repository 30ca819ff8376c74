"""The test environment before and after a job: what an undone one has left behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from surefoot.app.drill.table import Finding
from surefoot.app.drill.world import World
from surefoot.app.rules.fidelities import Fidelity
from surefoot.app.rules.states import JobState

MOST_TOLD = 5
NOTHING = object()


def snapshot_of(own: Any) -> Any:
    """What the test environment says of itself (`snapshot()`), None where it says nothing.

    Raises: what the developer's method raises.
    """
    ask = getattr(own, "snapshot", None)
    return ask() if callable(ask) else None


def left_behind(world: World, before: Any) -> list[Finding]:
    """What differs from `before`, where the job was undone and each of its effects exactly; nothing
    is said of others.
    """
    if (
        before is None
        or world.job.state not in (JobState.FAILED, JobState.CANCELLED)
        or not _all_exact(world)
    ):
        return []
    found = list(_differences("", before, snapshot_of(world.own)))
    told = "; ".join(found[:MOST_TOLD]) + (
        f"; and {len(found) - MOST_TOLD} more" if len(found) > MOST_TOLD else ""
    )
    undone = [effect.step for effect in world.effects if effect.undo == "done"]
    step = undone[0] if len(undone) == 1 else ""
    return (
        [
            Finding(
                step,
                f"the job is undone, each effect exactly, and the world is not as before: {told}",
            )
        ]
        if found
        else []
    )


def _all_exact(world: World) -> bool:
    return all(
        effect.outcome == "none" or (effect.undo == "done" and effect.fidelity == Fidelity.EXACT)
        for effect in world.effects
        if effect.outcome != "none" or effect.undo != "not_needed"
    )


def _differences(path: str, before: Any, after: Any) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in dict.fromkeys([*before, *after]):
            yield from _differences(
                f"{path}.{name}" if path else str(name),
                before.get(name, NOTHING),
                after.get(name, NOTHING),
            )
    elif before is NOTHING or after is NOTHING or before != after:
        yield f"{path or 'it'} {_was(before)}, {_is(after)}"


def _was(value: Any) -> str:
    return "was not there" if value is NOTHING else f"was {value!r}"


def _is(value: Any) -> str:
    return "is gone" if value is NOTHING else f"is {value!r}"
