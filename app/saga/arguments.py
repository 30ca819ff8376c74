"""What a decorator's arguments must be. Each refusal is one sentence that begins with the line to change."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from app.errors import DefinitionError
from app.saga import source
from app.saga.naming import MAX_NAME_CHARS, did_you_mean
from app.saga.policies import Retry, seconds

Duration = float | str

NAMING = f"Use lower case letters, digits and underscores, a letter first, at most {MAX_NAME_CHARS}."


def said(value: object) -> str:
    """A value as it was written, short: functions and classes by name."""
    return str(getattr(value, "__name__", None) or repr(value)[:80])


def refuse_unknown(unknown: dict[str, Any], what: str, fn: Callable[..., Any]) -> None:
    if unknown:
        known = [n for n, p in inspect.signature(fn).parameters.items() if n not in ("self", "fn") and p.kind is not p.VAR_KEYWORD]
        word = next(iter(unknown))
        raise DefinitionError(f"{source.caller()}: {what}() knows no {word}=.{did_you_mean(word, known)}")


def positive(duration: Duration, word: str, line: str, what: str) -> float:
    try:
        length = seconds(duration)
    except ValueError as error:
        raise DefinitionError(f"{line}: {what}: {word}: {error}.") from None
    if length <= 0:
        raise DefinitionError(f"{line}: {what}: {word}={duration!r} is no time at all. Say more than 0 seconds.")
    return length


def positive_or_none(duration: Duration | None, word: str, line: str, what: str) -> float | None:
    return None if duration is None else positive(duration, word, line, what)


def retry_or_default(retry: Retry | None, line: str, what: str) -> Retry:
    if retry is not None and not isinstance(retry, Retry):
        raise DefinitionError(f"{line}: {what}: retry={said(retry)}. Say retry=Retry(limit=5), with Retry from surefoot.")
    return retry or Retry()
