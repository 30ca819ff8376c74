"""The closed vocabularies: each row says enough, and what is derived from them agrees."""

from __future__ import annotations

from enum import StrEnum
from string import Formatter
from typing import get_args

import pytest

from surefoot.app.rules import decisions, events, reasons, waits
from surefoot.app.rules.decisions import AboutLetter, LetterAction, LetterActionWord
from surefoot.app.rules.events import HistoryEvent
from surefoot.app.rules.fidelities import Fidelity, FidelityWord
from surefoot.app.rules.reasons import FailureReason
from surefoot.app.rules.states import Kind, KindWord, LetterState, LetterStateWord
from surefoot.app.rules.waits import WaitReason, WaitRule

SAID_OF_A_WAIT = {
    "title", "error", "attempt", "when", "version", "saga", "digest", "unattended",
}  # fmt: skip


@pytest.mark.parametrize("reason", FailureReason)
def test_given_failure_reason_when_its_letter_is_opened_then_people_have_words_for_it(
    reason: FailureReason,
) -> None:
    letter = reason.letter

    assert letter.rule.gave_up
    assert letter.letter == letter, "a letter's word stands for itself"
    assert reasons.gave_up(letter) == letter.rule.gave_up
    assert letter in reasons.OF_LETTERS


@pytest.mark.parametrize("rule", [*(wait.rule for wait in WaitReason), waits.LATER])
def test_given_wait_reason_when_told_then_its_sentences_name_only_what_is_known(
    rule: WaitRule,
) -> None:
    named = {
        name
        for text in (rule.sentence, rule.what, rule.next)
        for _, name, _, _ in Formatter().parse(text)
        if name
    }

    assert named <= SAID_OF_A_WAIT
    assert rule.of_job != bool(rule.sentence and rule.what and rule.next)


def test_given_words_of_a_later_release_when_read_then_they_are_said_as_they_are() -> None:
    assert waits.rule_of("approval") == waits.LATER
    assert reasons.gave_up("cosmic_rays") == "cosmic rays"
    assert not reasons.rule_of("cosmic_rays").lateness
    assert events.named("beamed_up") == "beamed_up"


def test_given_earlier_names_when_mapped_then_none_is_written_today() -> None:
    today = {str(event) for event in HistoryEvent}

    assert not today & set(events.EARLIER_NAMES)
    for earlier, event in events.EARLIER_NAMES.items():
        assert events.named(earlier) == event
        assert set(events.stored(event)) >= {earlier, str(event)}


@pytest.mark.parametrize(
    ("word", "vocabulary"),
    [
        (FidelityWord, Fidelity),
        (KindWord, Kind),
        (LetterStateWord, LetterState),
        (LetterActionWord, LetterAction),
    ],
)
def test_given_a_type_of_a_vocabularys_words_then_it_agrees_with_the_enum(
    word: object, vocabulary: type[StrEnum]
) -> None:
    assert get_args(word) == tuple(vocabulary)


@pytest.mark.parametrize("why", reasons.OF_LETTERS)
def test_given_letter_that_holds_its_job_when_decided_then_lateness_is_only_tried_again(
    why: str,
) -> None:
    open_to = decisions.decisions(AboutLetter(why, "action", past_pivot=False))

    late = FailureReason(why).rule.lateness
    assert (open_to == (LetterAction.REDRIVE,)) == late
    assert (LetterAction.MARK_ABSENT in open_to) != late
    past_pivot = decisions.decisions(AboutLetter(why, "action", past_pivot=True))
    assert LetterAction.MARK_ABSENT not in past_pivot
    undo = decisions.decisions(AboutLetter(why, "undo", past_pivot=False))
    assert LetterAction.MARK_ABSENT not in undo
