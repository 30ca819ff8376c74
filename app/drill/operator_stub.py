"""The person whom a drill stands in for: answers what a job in `attention` asks, as an operator
would.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Engine

from surefoot.app.config import Settings
from surefoot.app.drill.verify import open_letters
from surefoot.app.drill.world import World
from surefoot.app.engine.operators import decisions
from surefoot.app.participant import EffectState
from surefoot.app.rules.planner import Plan
from surefoot.app.rules.reasons import rule_of
from surefoot.app.rules.states import Kind
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.naming import effect_key

ACTOR = "drill"


def answer(
    db: Engine, settings: Settings, saga: Saga[Any], world: World
) -> Iterator[tuple[str, Plan]]:
    """Decide each letter that holds the job: what was done, and the plan to ring.

    What is out of attempts is tried again. What must not be tried again because nobody knows
    whether it happened is looked up at the service: there, it is done; not there, it is marked
    absent or waived.
    """
    for letter in open_letters(db, world.job.id):
        if not letter.blocking:
            continue
        name = letter.step if letter.kind == Kind.ACTION else f"{letter.step}.{letter.kind}"
        if not rule_of(letter.why).asks:
            yield f"{name} redriven", decisions.retry(db, letter.id, ACTOR, "drill").plan
        elif _is_there(world, letter.step):
            yield (
                f"{name} found done, marked so",
                decisions.mark_done(db, letter.id, ACTOR, "drill: the service has it").plan,
            )
        elif saga.graph.by_name[letter.step].past_pivot:
            yield (
                f"{name} found absent, waived",
                decisions.waive(db, letter.id, ACTOR, "drill: the service does not have it").plan,
            )
        else:
            yield (
                f"{name} found absent, marked so",
                decisions.mark_absent(db, settings, letter.id, ACTOR, "drill: not there").plan,
            )


def _is_there(world: World, step: str) -> bool:
    key = effect_key(world.job.id, step, "", Kind.ACTION)
    return any(
        seen.key == key and seen.state == EffectState.DONE for seen in world.everything_seen()
    )
