"""A failing schedule, cut down to what it needs: actions are taken out as long as it still fails in
the same way.
"""

from __future__ import annotations

from collections.abc import Sequence

from surefoot.app.simulation.schedule import Outcome, run
from surefoot.app.simulation.store import SimStore
from surefoot.app.simulation.words import Action

MOST_RUNS = 400  # of one schedule: a minute or so


def shrunk(
    failed: Outcome, most_runs: int = MOST_RUNS, *, store: SimStore | None = None
) -> Outcome:
    """The shortest schedule found that fails with the same first sentence.

    `store`: where, if not in memory.

    Delta debugging: halves, quarters, single actions are left out; what is left is done in one go
    where that fails too.
    """
    best, runs = failed, 0

    def fails(actions: list[Action]) -> bool:
        nonlocal best, runs
        runs += 1
        tried = run(failed.seed, actions, store=store)
        if not same(tried, failed):
            return False
        best = tried
        return True

    size = max(1, len(best.actions) // 2)
    while runs < most_runs:
        start, cut = 0, False
        while start < len(best.actions) and runs < most_runs:
            if fails([*best.actions[:start], *best.actions[start + size :]]):
                cut = True
            else:
                start += size
        if size == 1 and not cut:
            break
        size = max(1, size // 2)
    for number in range(len(best.actions)):
        if (
            number < len(best.actions)
            and runs < most_runs
            and simple(best.actions[number]) != best.actions[number]
        ):
            fails(
                [*best.actions[:number], simple(best.actions[number]), *best.actions[number + 1 :]]
            )
    return best


def same(tried: Outcome, failed: Outcome) -> bool:
    """Whether it is the same mistake that shows: the same sentence, whichever row it names."""
    return (
        tried.failed
        and tried.phase == failed.phase
        and what(tried.problems) & what(failed.problems) != set()
    )


def what(problems: Sequence[str]) -> set[str]:
    """The sentences without the rows that they name."""
    return {problem.partition(" (")[0] for problem in problems}


def simple(action: Action) -> Action:
    """The same action, in one go."""
    return action._replace(points=0, dies=False)
