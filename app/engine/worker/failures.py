"""What an exception of the developer's code says about the outcome, in words that every store
takes.

Hazard: the exception is the developer's own object. Its text, its class and its attributes may
raise, return no text, or hang; and what cannot be put into words must be put on record all the
same, at once, as what it was. Answer: each question that is asked of the exception has an answer
for the case that asking fails, and all of them together have a limit.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from sqlalchemy.exc import StatementError

from surefoot.app.config import LONGEST_S
from surefoot.app.engine.jobs.attempt import Failure
from surefoot.app.engine.jobs.retries import Kindred
from surefoot.app.engine.runtime import Limit
from surefoot.app.engine.worker.delivery import OperationInput
from surefoot.app.errors import Unreadable
from surefoot.app.faults import Crashed
from surefoot.app.rules.reasons import FailureReason
from surefoot.app.rules.states import Kind
from surefoot.app.saga.outcomes import Failed, RetryLater
from surefoot.app.saga.step import Step
from surefoot.app.saga.values import to_json
from surefoot.app.secrecy import scrub
from surefoot.app.texts import READ_CHARS, storable

# Mistakes of the code: the same comes of trying again, so attempts bound them. No KeyError or
# ValueError: an answer of a service in trouble (a page of HTML, a field that is not there) raises
# these too.
WRONG = (
    TypeError,
    AttributeError,
    NameError,
    ImportError,
    AssertionError,
    NotImplementedError,
    RecursionError,
    ZeroDivisionError,
)
MAX_ERROR_CHARS = 2000
MAX_TYPE_CHARS = 200
MEMBERS_TOLD = 3  # of a group of exceptions
WORDS_S = 5.0  # how long an exception may take to say what it is

_name_of: Any = type.__dict__["__name__"]  # past whatever a metaclass says


def failure(
    error: BaseException, work: OperationInput, limit: Limit, step: Step[Any, Any] | None = None
) -> Failure:
    """What an exception of the developer's code says about the outcome.

    Whatever the exception is, there is an answer.

    `step`: whose function raised it; None where that function was not called.
    """
    kind = scrub(type_of(error), work.secrets)
    told = {"type": kind, "message": kind}
    try:
        with limit(WORDS_S):
            told["message"] = _message(error, work) or kind
    except Crashed:
        raise
    except BaseException:  # no words can be had: the type is told
        pass
    if _says(error, "nothing_happened"):
        return Failure(FailureReason.REJECTED, told, nothing_happened=True)
    if isinstance(error, Unreadable):
        where = {name: error.details.get(name, "") for name in ("model", "field")}
        return Failure(
            FailureReason.UNREADABLE, told | where, nothing_happened=not error.details.get("began")
        )
    if step is not None and _ends_for_good(error, work, step):
        return _for_good(error, told, step, limit)
    unsent = _says(error, "nothing_sent")
    return Failure(
        FailureReason.TRANSIENT,
        told,
        nothing_happened=unsent,
        delay_s=_delay_s(error),
        kind=Kindred(isinstance(error, WRONG), unsent),
    )


def _ends_for_good(error: BaseException, work: OperationInput, step: Step[Any, Any]) -> bool:
    """Whether it is `Failed`, or one of those that the step's action names in `fatal`."""
    return _says(error, "ends_for_good") or (
        work.kind == Kind.ACTION and isinstance(error, step.fatal)
    )


def _for_good(
    error: BaseException, told: dict[str, Any], step: Step[Any, Any], limit: Limit
) -> Failure:
    """With what of the result is known, if it can be kept."""
    known = None
    try:
        with limit(WORDS_S):
            partial = getattr(error, "result", None) if isinstance(error, Failed) else None
            known = (
                None
                if partial is None
                else to_json(partial, f"the result of step {step.name}", step.result_type)
            )
    except Crashed:
        raise
    except BaseException as unfit:  # its undo then learns nothing, which it has to expect anyway
        told = told | {
            "message": f"{told['message']} (its result cannot be kept: {type_of(unfit)})"
        }
    return Failure(FailureReason.FAILED, told | {"for_good": True}, result=known)


def without_words(outcome: Failure | None, refused: BaseException) -> Failure:
    """An outcome that the store does not take as it is.

    `outcome`: None for a result, which then counts as unknown.
    """
    said = f"the store does not take what there is to tell ({type_of(refused)})"
    if outcome is None:
        return Failure(
            FailureReason.TRANSIENT,
            {"type": "ResultRefused", "message": said},
            kind=Kindred(wrong=True),
        )
    kind = str(outcome.error.get("type", "")).encode("ascii", "replace").decode()
    mark = {"for_good": True} if outcome.how.rule.for_good else {}
    return replace(outcome, error={"type": kind, "message": said} | mark, delay_s=None, result=None)


def type_of(error: BaseException) -> str:
    """The name of an exception's class."""
    return storable(str(_name_of.__get__(type(error))), MAX_TYPE_CHARS)


def _message(error: BaseException, work: OperationInput) -> str:
    said = str.__getitem__(
        _said(error), slice(READ_CHARS)
    )  # of a subclass of str too, whose methods are its own
    return storable(scrub(said, work.secrets), MAX_ERROR_CHARS)


def _said(error: BaseException) -> str:
    """An exception in words that people are shown."""
    kind = type_of(error)
    if isinstance(error, KeyError):  # says nothing but the key
        return f"{kind}: {error}"
    if (
        isinstance(error, StatementError) and error.orig is not None
    ):  # the rest is the statement and its values: what somebody wrote
        return str(error.orig).partition("\n")[0] or kind
    if isinstance(error, BaseExceptionGroup):
        members = "; ".join(f"{type_of(one)}: {one}" for one in error.exceptions[:MEMBERS_TOLD])
        return f"{error}: {members}"
    return str(error) or kind


def _says(error: BaseException, mark: str) -> bool:
    """Whether an exception carries a mark.

    One that cannot be asked has none: then the outcome counts as unknown.
    """
    try:
        return bool(getattr(error, mark, False))
    except Crashed:
        raise
    except BaseException:
        return False


def _delay_s(error: BaseException) -> float | None:
    """When to try again, if the exception says so in seconds that can be kept."""
    try:
        seconds = float(error.seconds) if isinstance(error, RetryLater) else None
    except Crashed:
        raise
    except BaseException:
        return None
    return None if seconds is None or math.isnan(seconds) else min(max(seconds, 0.0), LONGEST_S)
