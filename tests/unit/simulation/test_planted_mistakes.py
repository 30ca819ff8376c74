"""A simulation that finds nothing proves nothing: mistakes planted in the engine must be found."""

from __future__ import annotations

import pytest

from surefoot.app.simulation.run import quietly
from surefoot.app.simulation.schedule import run
from surefoot.app.simulation.words import Action
from tests.support.planted import PLANTED

# mistake -> a number whose schedule shows it, and where that is a long one, the few actions that do
KNOWN: dict[str, tuple[int, list[Action] | None]] = {
    "messages leave before the commit": (0, None),
    "the effects key has the attempts number in it": (1, None),
    "a completion does not ask for its fence": (53, None),
    "the row count of a completion is ignored": (33, None),
    "undos look at direct successors only": (347, None),
    "a claim is not durable": (0, None),
    "a timer never wakes": (1, None),
    "a relay that slept does not look again before it expires a claim": (21, None),
    "an undo with nothing to undo acts as if it had": (4, None),
    "an empty undo leaves no tombstone": (155, None),
    "a completion releases twice": (3, None),
    "the turn forgets what is queued": (3, None),
    "started follows from the attempts and a shutdown gives one back": (40, None),
    "a refusal settles earlier attempts too": (30, None),
    "a cancel overtakes the claim of the pivot": (40, None),
    "a turn does not look at what is about to be confirmed": (142, None),
    "an action that stopped after the turn does not free its undo": (58, None),
    "a job ends while something of it still runs": (8, None),
    "a lost message is never rung again": (83, [Action("submit"), Action("drop")]),
    "an idempotency key is looked up but not taken": (0, None),
    "a completion after the turn goes forward": (12, None),
    "two people decide about one letter and both are obeyed": (5, None),
    "a step that failed for good counts as nothing": (7, None),
    "a step that failed for good is tried again": (7, None),
    "a decision ends a job that has ended": (36, None),
    "a step that was waived is confirmed": (6, None),
    "an undo that fails takes the place of why the job failed": (17, None),
    "what may have happened and cannot be asked is done once more": (31, None),
    "a probe in doubt before an undo counts as never": (102, None),
    "a probe in doubt is taken for a no and the step is done again": (63, None),
    "a replay that is refused fails the undo": (2, None),
    "what was adopted is found again": (105, None),
    "an undo that was decided is not carried out": (233, None),
    "effects of lost jobs are not looked for": (9, None),
    "a claim takes a job of another version": (31, None),
    "a job runs without its locks": (31, None),
    "a job is run again however often it is asked for": (63, None),
    "an idempotency key is one for all tenants": (10, None),
    "what another tenant asks for is done": (10, None),
    "a tenants window is one message too small": (58, None),
}
SEARCHED = 400  # numbers; each mistake shows before


@pytest.mark.parametrize("mistake", KNOWN)
def test_given_a_planted_mistake_then_its_known_schedule_shows_it(mistake: str) -> None:
    with PLANTED[mistake]():
        assert quietly(run, *KNOWN[mistake]).failed
    assert not quietly(run, *KNOWN[mistake]).failed


def test_given_the_planted_mistakes_then_each_has_a_known_schedule() -> None:
    assert KNOWN.keys() == PLANTED.keys() and len(PLANTED) >= 12


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mistake", [name for name, (_, actions) in KNOWN.items() if actions])
def test_given_a_mistake_that_few_actions_show_when_searched_for_then_a_number_does_too(
    mistake: str,
) -> None:
    with PLANTED[mistake]():
        assert any(quietly(run, seed).failed for seed in range(SEARCHED))


def test_given_the_known_numbers_then_a_search_comes_to_each() -> None:
    assert max(number for number, _ in KNOWN.values()) < SEARCHED
