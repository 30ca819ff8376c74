"""A schedule: a saga and a list of actions from one number, run in two phases.

While anything may fail, what must always hold is asked after every action. Then everything heals,
and every job must land within a bound, with its effects whole or taken back in reverse. Each seed
draws its own rates, some of them zero: with the same rates for all, one loud fault hides the
others.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from surefoot.app.config import Settings
from surefoot.app.rules.states import ENDED, JobState
from surefoot.app.simulation.actions import Director
from surefoot.app.simulation.ledger import Ledger
from surefoot.app.simulation.oracle import violations
from surefoot.app.simulation.rates import (
    LONG_S,
    OF_SIXTEEN_ACCOUNTED,
    OF_SIXTEEN_IN_DOUBT,
    OF_SIXTEEN_SHARED,
    SECONDS,
    Rates,
)
from surefoot.app.simulation.sagas import StepPlan, build, draw, to_be_learnt
from surefoot.app.simulation.service import SimService
from surefoot.app.simulation.store import SimStore, store_of_this_process
from surefoot.app.simulation.terms import Terms, on_these_terms, terms_of
from surefoot.app.simulation.words import WORDS, Action
from surefoot.app.simulation.world import World, usual_settings

SAGA = "shape"
LENGTH = 60  # actions of a schedule
RECONCILE_S = 20.0
FINAL_SLACK_S, FINAL_BOUND_S = 120.0, 3600.0
YOUNG_S = (
    300.0  # a schedule that heals before this has no operation near its queue time-out (15 minutes)
)
RETRIES = 2  # rounds in which they redrive, before they decide otherwise
ROUNDS_OF_PEOPLE = (
    6  # a retried operation may turn the job, whose undos ask again: a handful is plenty
)


@dataclass
class Outcome:
    """How a schedule went.

    `problems`: empty when all is well; `actions`: those that did something; `trace`: a line for
    each.
    """

    seed: int
    plans: tuple[StepPlan, ...]
    actions: list[Action] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    phase: str = "safety"
    on_postgresql: bool = False
    ends: Counter[str] = field(default_factory=Counter)
    points: Counter[str] = field(default_factory=Counter)
    crashes: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)

    @property
    def failed(self) -> bool:
        return bool(self.problems)


def actions_of(seed: int) -> tuple[Rates, Iterator[Action]]:
    """The rates of a seed, and its actions without end: those that find nothing to act on do not
    count.
    """
    chance = random.Random(f"{seed} actions")
    rates = Rates.of(seed, chance)
    return rates, _drawn(chance, rates)


def _drawn(chance: random.Random, rates: Rates) -> Iterator[Action]:
    verbs, weights = list(rates.weights), list(accumulate(rates.weights.values()))
    yield Action("submit", 0)
    while True:
        verb = chance.choices(verbs, cum_weights=weights)[0]
        which, who = chance.randrange(1000), chance.randrange(1000)
        points = chance.choice(rates.stops) if chance.random() < rates.pause else 0
        dies = points > 0 and chance.random() < rates.dies
        match verb:
            case "submit":
                seconds = chance.choice((5.0, 30.0)) if chance.random() < rates.deadline else 0.0
                yield Action(verb, which, points=points, dies=dies, seconds=seconds)
            case "deliver":
                word = chance.choice(rates.answers) if chance.random() < rates.bad_answer else ""
                yield Action(
                    verb,
                    which,
                    who,
                    word,
                    points,
                    dies,
                    seconds=float(chance.random() < 0.3) if dies else 0.0,
                )
            case "tick":
                seconds = (
                    chance.choice(LONG_S)
                    if chance.random() < rates.long_tick
                    else chance.choice(SECONDS)
                )
                yield Action(
                    verb,
                    word="no beats" if chance.random() < rates.no_beats else "",
                    seconds=seconds,
                )
            case "person":
                yield Action(verb, which, word=chance.choice(WORDS), points=points, dies=dies)
            case "resume" | "sweep" | "cancel" | "patrol":
                yield Action(verb, which, points=points, dies=dies)
            case "finding":
                yield Action(verb, which, who, points=points, dies=dies)
            case _:
                yield Action(verb, which)


def plans_of(seed: int) -> tuple[StepPlan, ...]:
    """The saga of a seed."""
    drawn = draw(random.Random(f"{seed} saga"))
    if seed % 16 == OF_SIXTEEN_IN_DOUBT:
        return to_be_learnt(drawn)
    return on_these_terms(drawn, terms_of(seed))


def settings_of(terms: Terms, *, shared: bool = False) -> Settings:
    """A relay looks for late jobs where the saga says when a job is late.

    Where tenants share, each has one message of a lane at a time.
    """
    usual = usual_settings()
    if shared:
        return usual.model_copy(update={"tenant_window": 1})
    return usual.model_copy(update={"reconcile_seconds": RECONCILE_S}) if terms.sla_s else usual


def run(
    seed: int,
    actions: Sequence[Action] | None = None,
    length: int = LENGTH,
    store: SimStore | None = None,
) -> Outcome:
    """Run the schedule of a seed; with `actions`, these instead of the seed's own (on the same
    saga).

    `store`: where, if not in memory; it is emptied first.
    """
    if store is None:
        store = store_of_this_process()
    else:
        store.begin_again()
    rates, drawn = actions_of(seed)
    outcome, terms = Outcome(seed, plans_of(seed)), terms_of(seed)
    outcome.on_postgresql = store.engine.dialect.name == "postgresql"
    service = SimService(store, exclusive=bool(terms.on_locked))
    sagas = [
        build(SAGA, outcome.plans, service, version=n, **terms.of_saga())
        for n in range(1, terms.versions + 1)
    ]
    ledger = Ledger(store) if seed % 16 == OF_SIXTEEN_ACCOUNTED else None
    if ledger is not None:
        ledger.declare(sagas[0], outcome.plans)
    shared = seed % 16 == OF_SIXTEEN_SHARED
    settings = settings_of(terms, shared=shared)
    with World(
        sagas,
        seed=seed,
        settings=settings,
        store=store,
        runs_on=rates.runs_on,
        deployed=1,
        shared=shared,
    ) as world:
        director = Director(world, service, SAGA, outcome.plans, ledger)
        try:
            if actions is None:
                _go(director, outcome, drawn, length)
            else:
                _go(director, outcome, iter(actions), len(actions))
            if not outcome.problems:
                land(director, outcome)
        except AssertionError as error:  # the world's own
            outcome.problems.append(str(error))
        outcome.ends.update(row.state for row in world.view.jobs())
        outcome.points, outcome.crashes, outcome.answers = (
            world.stage.points,
            world.stage.crashes,
            service.calls,
        )
    return outcome


def _go(director: Director, outcome: Outcome, actions: Iterator[Action], length: int) -> None:
    for action in actions:
        told = director.do(action)
        if not told:
            continue
        outcome.actions.append(action)
        outcome.trace.append(told)
        outcome.problems = director.problems()
        if outcome.problems or len(outcome.actions) >= length:
            return


def land(director: Director, outcome: Outcome) -> None:
    """The second phase: it heals, it lands, people answer what is asked, and the truth is compared
    with the account.
    """
    world, outcome.phase = director.world, "liveness"
    young = world.clock.now_s < YOUNG_S and not terms_of(outcome.seed).gives_up_s
    if (
        outcome.seed % 2
    ):  # who is frozen sleeps through all of it, and wakes when the jobs have landed
        world.heal(thaw=False)
        world.land()
    world.heal()
    retried: set[str] = set()
    for number in range(ROUNDS_OF_PEOPLE):
        if not world.land():
            outcome.problems.append(
                f"{len(world.view.moving())} jobs have not landed within the bound"
            )
            break
        letters = world.view.letters()
        if not letters:
            break
        if number == RETRIES:
            outcome.problems += [
                f"{letter.step}.{letter.kind} was redriven {RETRIES} times while nothing failed, and is still given up"
                for letter in letters
                if letter.operation_id in retried
            ]
        retried = {letter.operation_id for letter in letters}
        for _ in letters:
            director.do(Action("person", word="retry" if number < RETRIES else "mark_absent"))
    outcome.problems += director.problems(slack_s=FINAL_SLACK_S, bound_s=FINAL_BOUND_S)
    if not outcome.problems:
        outcome.problems += violations(director)
    if not outcome.problems and director.ledger is not None:
        outcome.problems += director.ledger.violations(world)
    if young and world.view.gave_up_waiting():
        outcome.problems.append(
            "an operation waited in vain for its queue time-out, though workers were there: its message was never rung again"
        )
    states = {row.id: row.state for row in world.view.jobs()}
    outcome.problems += [
        f"the accepted job of {key} is gone"
        for key, job in director.accepted.items()
        if job not in states
    ]
    if not outcome.problems and any(state not in ENDED for state in states.values()):
        asking = sum(state == JobState.ATTENTION for state in states.values())
        outcome.problems.append(
            f"{asking} jobs still ask a person who has answered {ROUNDS_OF_PEOPLE} times"
        )


__all__ = ["LENGTH", "SAGA", "Outcome", "Rates", "actions_of", "land", "plans_of", "run"]
