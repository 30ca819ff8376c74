"""The same actions, chosen by Hypothesis: it looks for what no random draw has come to, and shrinks what it finds."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from surefoot.app.simulation.actions import Director
from surefoot.app.simulation.ledger import Ledger
from surefoot.app.simulation.rates import FAILURE_ANSWERS, FOR_GOOD, SECONDS
from surefoot.app.simulation.sagas import build
from surefoot.app.simulation.schedule import SAGA, Outcome, land, plans_of
from surefoot.app.simulation.service import SimService
from surefoot.app.simulation.store import store_of_this_process
from surefoot.app.simulation.words import WORDS, Action
from surefoot.app.simulation.world import World
from tests.support.planted import PLANTED

WHICH = st.integers(0, 5)
POINTS = st.sampled_from((0, 0, 1, 2, 4, 7, 11, 16))
QUICK = settings(
    max_examples=20,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
LONG = settings(
    max_examples=500,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


class Machine(RuleBasedStateMachine):
    """Rules are the saboteur's verbs; after each one everything that must hold is asked, and in the end all must land."""

    director: Director | None = None

    @initialize(saga=st.integers(0, 200))
    def begin(self, saga: int) -> None:
        service = SimService(store_of_this_process())
        self.outcome = Outcome(saga, plans_of(saga))
        ledger, made = Ledger(service.store), build(SAGA, self.outcome.plans, service)
        ledger.declare(made, self.outcome.plans)
        self.world = World([made], seed=saga, store=service.store)
        self.world.__enter__()
        self.director = Director(self.world, service, SAGA, self.outcome.plans, ledger)

    def do(self, verb: str, **more: object) -> None:
        assert self.director is not None
        self.outcome.trace.append(self.director.do(Action(verb, **more)))  # type: ignore[arg-type]

    @rule(which=WHICH, points=POINTS)
    def submit(self, which: int, points: int) -> None:
        self.do("submit", which=which, points=points)

    @rule(
        which=WHICH,
        who=WHICH,
        word=st.sampled_from(("", "", *FAILURE_ANSWERS, FOR_GOOD)),
        points=POINTS,
        dies=st.booleans(),
    )
    def deliver(self, which: int, who: int, word: str, points: int, dies: bool) -> None:
        self.do("deliver", which=which, who=who, word=word, points=points, dies=dies and points > 0)

    @rule(which=WHICH, points=POINTS, dies=st.booleans())
    def resume(self, which: int, points: int, dies: bool) -> None:
        self.do("resume", which=which, points=points, dies=dies and points > 0)

    @rule(verb=st.sampled_from(("sweep", "cancel")), which=WHICH, points=POINTS, dies=st.booleans())
    def start(self, verb: str, which: int, points: int, dies: bool) -> None:
        self.do(verb, which=which, points=points, dies=dies and points > 0)

    @rule(which=WHICH, word=st.sampled_from(WORDS), points=POINTS)
    def person(self, which: int, word: str, points: int) -> None:
        self.do("person", which=which, word=word, points=points)

    @rule(verb=st.sampled_from(("patrol", "finding")), which=WHICH, who=WHICH, points=POINTS)
    def reconcile(self, verb: str, which: int, who: int, points: int) -> None:
        self.do(verb, which=which, who=who, points=points)

    @rule(verb=st.sampled_from(("stray", "drift")), which=WHICH)
    def differ(self, verb: str, which: int) -> None:
        self.do(verb, which=which)

    @rule(seconds=st.sampled_from(SECONDS), word=st.sampled_from(("", "no beats")))
    def tick(self, seconds: float, word: str) -> None:
        self.do("tick", seconds=seconds, word=word)

    @rule(
        verb=st.sampled_from(
            (
                "freeze",
                "thaw",
                "oversleep",
                "doze",
                "crash",
                "kill_child",
                "shut_down",
                "drop",
                "duplicate",
                "old",
            )
        ),
        which=WHICH,
    )
    def harm(self, verb: str, which: int) -> None:
        self.do(verb, which=which)

    @rule(
        verb=st.sampled_from(("lose", "flush", "broker", "store", "locked", "answer")), which=WHICH
    )
    def break_a_server(self, verb: str, which: int) -> None:
        self.do(verb, which=which)

    @invariant()
    def all_holds(self) -> None:
        if self.director is not None and (problems := self.director.problems()):
            raise AssertionError(problems[0], *self.outcome.trace)

    def teardown(self) -> None:
        if self.director is None:
            return
        try:
            if not self.director.problems():
                land(self.director, self.outcome)
            assert self.outcome.problems == [], self.outcome.trace
        finally:
            self.world.__exit__(None, None, None)


def test_given_any_actions_that_are_thought_of_then_what_must_hold_holds_and_every_job_lands() -> (
    None
):
    run_state_machine_as_test(Machine, settings=QUICK)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_given_many_more_then_it_holds_too() -> None:
    run_state_machine_as_test(Machine, settings=LONG)


def test_given_a_mistake_in_the_engine_then_it_is_found_and_shrunk() -> None:
    few = settings(
        # less to cut away, and nothing to explain: each cut is a schedule of its own
        QUICK,
        stateful_step_count=3,
        phases=(Phase.generate, Phase.shrink),
    )
    with (
        PLANTED["messages leave before the commit"](),
        pytest.raises(AssertionError, match="a message left before the commit"),
    ):
        run_state_machine_as_test(Machine, settings=few)
