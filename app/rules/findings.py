"""What reconciliation finds, and what was done about it."""

from __future__ import annotations

from enum import StrEnum


class Finding(StrEnum):
    """`sentence`: what `why` says, over `service` and `step`; "" where it says nothing of it."""

    _value_: str
    sentence: str

    def __new__(cls, value: str, sentence: str = "") -> Finding:
        member = str.__new__(cls, value)
        member._value_, member.sentence = value, sentence
        return member

    LATE = "late"  # the job takes longer than its saga allows: the action says the rest
    MISSING_THERE = "missing_there", "{step} was done, but {service} has no such effect"
    MISSING_HERE = (
        "missing_here",
        "{service} says that {step} stands, but no effect is on record here",
    )
    DIFFERENT = "different", "{service} and the record here differ about {step}"
    ORPHAN = "orphan"  # an effect whose job does not exist
    UNASKABLE = "unaskable"  # the service could not be asked


class FindingAction(StrEnum):
    """`of_lateness`: what `why` says was done about a late job."""

    _value_: str
    of_lateness: str

    def __new__(cls, value: str, of_lateness: str = "") -> FindingAction:
        member = str.__new__(cls, value)
        member._value_, member.of_lateness = value, of_lateness
        return member

    REPORTED = "reported", "a person should look"
    REDRIVEN = "redriven", "so what was given up was redriven"
    REPUBLISHED = "republished", "so its messages were sent again"
    COMPENSATED = "compensated", "so it is undone"
    ATTENTION = "attention", "and a person is asked, since it can no longer be undone"
    ADOPTED = "adopted"
    UNDO = "undo"  # decided, and not done yet
    UNDONE = "undone"


# Names that earlier releases stored: read as what they are called now, never written.
EARLIER_NAMES = {"asked": FindingAction.REPORTED, "rung": FindingAction.REPUBLISHED}
_FINDINGS = {str(finding): finding for finding in Finding}
_ACTIONS = {str(action): action for action in FindingAction} | EARLIER_NAMES


# What people read, where the store keeps an older word: old workers write it, too, during a deploy.
SHOWN_AS = {
    Finding.MISSING_THERE: "missing_in_service",
    Finding.MISSING_HERE: "missing_in_engine",
    Finding.UNASKABLE: "service_unreachable",
}


def shown(finding: str) -> str:
    """A finding's name for people; most are shown as they are stored."""
    return SHOWN_AS.get(_FINDINGS[finding], finding) if finding in _FINDINGS else finding


def named(action: str) -> str:
    """What was done, by today's name; of a later release what it says."""
    return _ACTIONS.get(action, action)


def lateness(action: str) -> str:
    """What was done about a late job, for a sentence."""
    return _ACTIONS[action].of_lateness if action in _ACTIONS else action


def sentence(finding: str) -> str:
    """What `why` says of a finding about an effect; "" where it says nothing."""
    return _FINDINGS[finding].sentence if finding in _FINDINGS else ""
