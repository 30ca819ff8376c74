"""What a seed is about: how often each action is drawn, and what may go with it."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from surefoot.app.simulation.terms import terms_of

# How a call may fail. Before the effect: refuse, break, unsent, not_yet, later. After it: lose (the
# answer), fail (for good).
FAILURE_ANSWERS = ("refuse", "break", "unsent", "not_yet", "later", "lose", "check", "stranger")
FOR_GOOD = "fail"
SECONDS = (0.5, 2.0, 6.0, 16.0, 40.0, 70.0)
LONG_S = (400.0, 1000.0, 90000.0)  # queue time-outs, undo_deadline_at
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
# What takes several in one order is not met by chance: of eight seeds one is about sleep alone, one
# about people alone
OF_EIGHT_SLEEPERS, OF_EIGHT_PEOPLE = 5, 6
OF_SIXTEEN_IN_DOUBT = (
    2  # answers are lost, jobs cancelled, and every undo has to learn what happened
)
OF_SIXTEEN_ACCOUNTED = 9  # effects stand without a job or go behind our back, and are reconciled
OF_SIXTEEN_SHARED = 10  # two tenants, each with its own jobs under the same keys
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
SHARED = {"submit": 3.0, "intrude": 3.0}
ON_TERMS = {"again": 2.0, "letter": 1.0, "deploy": 0.6, "person": 3.0}


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
        if seed % 16 == OF_SIXTEEN_SHARED:
            return replace(drawn, weights=drawn.weights | SHARED)
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
