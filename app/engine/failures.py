"""What an exception of the developer's code says about the outcome, in words that every store takes.

Hazard: the exception is the developer's own object. Its text, its class and its attributes may raise, return no text, or hang;
and what cannot be put into words must be put on record all the same, at once, as what it was. Answer: each question that is
asked of the exception has an answer for the case that asking fails, and all of them together have a limit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy.exc import StatementError

from app.config import LONGEST_S
from app.engine.attempt import Failure
from app.engine.work import Work
from app.errors import Unreadable
from app.faults import Crashed
from app.saga.outcomes import RetryLater
from app.secrecy import scrub
from app.texts import READ_CHARS, storable

MAX_ERROR_CHARS = 2000
MAX_TYPE_CHARS = 200
MEMBERS_TOLD = 3  # of a group of exceptions
WORDS_S = 5.0  # how long an exception may take to say what it is

Limit = Callable[[float], AbstractContextManager[None]]
_name_of: Any = type.__dict__["__name__"]  # past whatever a metaclass says


def failure(error: BaseException, work: Work, limit: Limit) -> Failure:
    """What an exception of the developer's code says about the outcome. Whatever the exception is, there is an answer."""
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
        return Failure("rejected", told, nothing_happened=True)
    if isinstance(error, Unreadable):
        where = {name: error.details.get(name, "") for name in ("model", "field")}
        return Failure("unreadable", told | where, nothing_happened=not error.details.get("began"))
    return Failure("transient", told, nothing_happened=_says(error, "nothing_sent"), delay_s=_delay_s(error))


def without_words(outcome: Failure | None, refused: BaseException) -> Failure:
    """An outcome that the store does not take as it is. `outcome`: None for a result, which then counts as unknown."""
    said = f"the store does not take what there is to tell ({type_of(refused)})"
    if outcome is None:
        return Failure("transient", {"type": "ResultRefused", "message": said})
    kind = str(outcome.error.get("type", "")).encode("ascii", "replace").decode()
    return Failure(outcome.how, {"type": kind, "message": said}, outcome.nothing_happened, None, outcome.message_returns)


def type_of(error: BaseException) -> str:
    """The name of an exception's class."""
    return storable(str(_name_of.__get__(type(error))), MAX_TYPE_CHARS)


def _message(error: BaseException, work: Work) -> str:
    said = str.__getitem__(_said(error), slice(READ_CHARS))  # of a subclass of str too, whose methods are its own
    return storable(scrub(said, work.secrets), MAX_ERROR_CHARS)


def _said(error: BaseException) -> str:
    """An exception in words that people are shown."""
    kind = type_of(error)
    if isinstance(error, KeyError):  # says nothing but the key
        return f"{kind}: {error}"
    if isinstance(error, StatementError) and error.orig is not None:  # the rest is the statement and its values: what somebody wrote
        return str(error.orig).partition("\n")[0] or kind
    if isinstance(error, BaseExceptionGroup):
        members = "; ".join(f"{type_of(one)}: {one}" for one in error.exceptions[:MEMBERS_TOLD])
        return f"{error}: {members}"
    return str(error) or kind


def _says(error: BaseException, mark: str) -> bool:
    """Whether an exception carries a mark. One that cannot be asked has none: then the outcome counts as unknown."""
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
