"""A schedule: a saga and a list of actions from one number, run in two phases.

While anything may fail, what must always hold is asked after every action. Then everything heals, and every job must
land within a bound, with its effects whole or taken back in reverse. Each seed draws its own rates, some of them zero:
with the same rates for all, one loud fault hides the others.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

from surefoot.app.config import Settings
from surefoot.app.rules.states import ENDED, JobState
from surefoot.app.simulation.actions import WORDS, Action, Director
from surefoot.app.simulation.ledger import Ledger
from surefoot.app.simulation.oracle import untrue
from surefoot.app.simulation.sagas import StepPlan, build, draw, to_be_learnt
from surefoot.app.simulation.service import SimService
from surefoot.app.simulation.store import SimStore, store_of_this_process
from surefoot.app.simulation.terms import Terms, on_these_terms, terms_of
from surefoot.app.simulation.world import World, usual_settings

SAGA = "shape"
LENGTH = 60  # actions of a schedule
# How a call may fail. Before the effect: refuse, break, unsent, not_yet, later. After it: lose (the answer), fail (for good).
FAILURE_ANSWERS = ("refuse", "break", "unsent", "not_yet", "later", "lose", "check", "stranger")
FOR_GOOD = "fail"
SECONDS = (0.5, 2.0, 6.0, 16.0, 40.0, 70.0)
LONG_S = (400.0, 1000.0, 90000.0)  # queue time-outs, undo_by
ORDINARY = {"submit": 1.5, "deliver": 15.0, "resume": 9.0, "sweep": 3.0, "tick": 3.0}
FAULTS = {
    "cancel": 1.0,
    "person": 2.0,
    "freeze": 4.0,
    "thaw": 2.0,
    "oversleep": 3.0,
    "crash": 2.0,
    "kill_child": 1.0,
    "shut_down": 1.0,
    "drop": 2.0,
    "duplicate": 2.0,
    "old": 2.0,
    "lose": 1.0,
    "flush": 0.7,
    "broker": 1.0,
    "store": 1.0,
    "locked": 1.0,
    "answer": 1.0,
}
STOPS = (1, 1, 2, 3, 4, 6, 9, 13, 20)  # after how many points an actor stops
# What takes several in one order is not met by chance: of eight seeds one is about sleep alone, one about people alone
OF_EIGHT_SLEEPERS, OF_EIGHT_PEOPLE = 5, 6
OF_SIXTEEN_IN_DOUBT = (
    2  # answers are lost, jobs cancelled, and every undo has to learn what happened
)
OF_SIXTEEN_ACCOUNTED = 9  # effects stand without a job or go behind our back, and are reconciled
OF_EIGHT_FAILING = 7  # steps that fail for good, beside what is drawn
SLEEPERS = {
    "submit": 0.7,
    "deliver": 6.0,
    "resume": 3.0,
    "sweep": 4.0,
    "tick": 5.0,
    "oversleep": 3.0,
    "doze": 0.5,
    "broker": 0.7,
}
PEOPLE = {
    "submit": 2.0,
    "deliver": 15.0,
    "resume": 5.0,
    "sweep": 4.0,
    "tick": 7.0,
    "cancel": 0.7,
    "person": 8.0,
}
IN_DOUBT = {
    "submit": 1.5,
    "deliver": 15.0,
    "resume": 5.0,
    "sweep": 4.0,
    "tick": 7.0,
    "cancel": 3.0,
    "person": 1.0,
    "drop": 0.5,
    "crash": 0.5,
}
ACCOUNTED = {"patrol": 4.0, "stray": 1.0, "drift": 2.0, "finding": 5.0}
ON_TERMS = {"again": 2.0, "letter": 1.0, "deploy": 0.6, "person": 3.0}
RECONCILE_S = 20.0
FINAL_SLACK_S, FINAL_BOUND_S = 120.0, 3600.0
YOUNG_S = (
    300.0  # a schedule that heals before this has no operation near its queue time-out (15 minutes)
)
RETRIES = 2  # rounds in which they send back, before they decide otherwise
ROUNDS_OF_PEOPLE = (
    6  # a retried operation may turn the job, whose undos ask again: a handful is plenty
)


@dataclass(frozen=True)
class Rates:
    """What this seed is about: weights of the verbs, and chances of what may go with them."""

    weights: dict[str, float]
    answers: tuple[str, ...]
    bad_answer: float
    pause: float
    dies: float
    no_beats: float
    long_tick: float
    deadline: float
    runs_on: bool
    stops: tuple[int, ...] = STOPS

    @classmethod
    def of(cls, seed: int, chance: random.Random) -> Rates:
        """Those of a seed."""
        if seed % 8 == OF_EIGHT_SLEEPERS:
            return cls(
                SLEEPERS,
                (),
                0.0,
                0.9,
                0.0,
                0.6,
                0.0,
                0.0,
                chance.random() < 0.6,
                (1, 2, 3, 4, 5, 6),
            )
        if seed % 8 == OF_EIGHT_PEOPLE:
            answers = ("break", "break", "lose", "refuse")
            return cls(
                PEOPLE,
                answers,
                chance.choice((0.5, 0.8)),
                0.1,
                0.0,
                0.0,
                chance.choice((0.0, 0.1)),
                0.0,
                chance.random() < 0.6,
            )
        if seed % 16 == OF_SIXTEEN_IN_DOUBT:
            words = ("lose", "lose", "lose", "break", "refuse")
            dies = chance.choice((0.0, 0.2))
            return cls(IN_DOUBT, words, 0.4, 0.2, dies, 0.0, 0.0, 0.0, chance.random() < 0.6)
        drawn, terms = cls.drawn(chance), terms_of(seed)
        if seed % 16 == OF_SIXTEEN_ACCOUNTED:
            return replace(drawn, weights=drawn.weights | ACCOUNTED)
        if terms.any:
            calm = (
                replace(drawn, weights=ORDINARY, answers=(), pause=0.0, dies=0.0)
                if terms.once
                else drawn
            )
            return replace(
                calm,
                weights=calm.weights | ON_TERMS,
                answers=(*calm.answers, "lose", "lose", "stranger"),
                bad_answer=max(calm.bad_answer, 0.25),
            )
        if seed % 8 == OF_EIGHT_FAILING:
            return replace(
                drawn, answers=(*drawn.answers, FOR_GOOD), bad_answer=max(drawn.bad_answer, 0.2)
            )
        return drawn

    @classmethod
    def drawn(cls, chance: random.Random) -> Rates:
        weights = dict(ORDINARY)
        for verb, weight in FAULTS.items():
            if chance.random() < 0.5:
                weights[verb] = weight * chance.choice((0.3, 1.0, 2.0))
        answers = [answer for answer in FAILURE_ANSWERS if chance.random() < 0.4]
        return cls(
            weights,
            tuple(answers),
            chance.choice((0.05, 0.2, 0.5)) if answers else 0.0,
            chance.choice((0.0, 0.3, 0.6, 0.8)),
            chance.choice((0.0, 0.0, 0.1, 0.3)),
            chance.choice((0.0, 0.3, 0.7)),
            chance.choice((0.0, 0.0, 0.0, 0.1)),
            chance.choice((0.0, 0.0, 0.5)),
            chance.random() < 0.6,
        )


@dataclass
class Outcome:
    """How a schedule went. `problems`: empty when all is well; `actions`: those that did something; `trace`: a line for each."""

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
    """The rates of a seed, and its actions without end: those that find nothing to act on do not count."""
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


def settings_of(terms: Terms) -> Settings:
    """A relay looks for late jobs where the saga says when a job is late."""
    usual = usual_settings()
    return usual.model_copy(update={"reconcile_seconds": RECONCILE_S}) if terms.sla_s else usual


def run(
    seed: int,
    actions: Sequence[Action] | None = None,
    length: int = LENGTH,
    store: SimStore | None = None,
) -> Outcome:
    """Run the schedule of a seed; with `actions`, these instead of the seed's own (on the same saga).

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
    settings = settings_of(terms)
    with World(
        sagas, seed=seed, settings=settings, store=store, runs_on=rates.runs_on, deployed=1
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
    """The second phase: it heals, it lands, people answer what is asked, and the truth is compared with the account."""
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
                f"{letter.step}.{letter.kind} was sent back {RETRIES} times while nothing failed, and is given up still"
                for letter in letters
                if letter.operation_id in retried
            ]
        retried = {letter.operation_id for letter in letters}
        for _ in letters:
            director.do(Action("person", word="retry" if number < RETRIES else "mark_absent"))
    outcome.problems += director.problems(slack_s=FINAL_SLACK_S, bound_s=FINAL_BOUND_S)
    if not outcome.problems:
        outcome.problems += untrue(director)
    if not outcome.problems and director.ledger is not None:
        outcome.problems += director.ledger.untrue(world)
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
