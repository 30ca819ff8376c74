"""What a declaration's arguments must be.

Each refusal is one sentence that begins with the line to change.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from surefoot.app.errors import DefinitionError, SurefootError
from surefoot.app.saga import source_location
from surefoot.app.saga.naming import MAX_NAME_CHARS, did_you_mean
from surefoot.app.saga.outcomes import Failed
from surefoot.app.saga.policies import Retry, seconds

P = ParamSpec("P")
R = TypeVar("R")
Duration = float | str

NAMING = (
    f"Use lower case letters, digits and underscores, a letter first, at most {MAX_NAME_CHARS}."
)


def said(value: object) -> str:
    """A value as it was written, short: functions and classes by name."""
    return str(getattr(value, "__name__", None) or repr(value)[:80])


def declaration(method: Callable[P, R]) -> Callable[P, R]:
    """Decorate a method that developers call: a call that does not fit its signature is told as a
    mistake of their line.
    """

    @wraps(method)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except TypeError:
            fault = _misfit(method, args, kwargs)
            if fault is None:  # it was called well; what it did went wrong
                raise
            raise DefinitionError(f"{source_location.caller()}: {fault}") from None

    return called


def _misfit(
    method: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> str | None:
    """What is wrong with a call; None when it fits."""
    signature = inspect.signature(method)
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        owner, name = _named(method, args, kwargs)
        for word in kwargs:
            if word not in signature.parameters:
                known = [known for known in signature.parameters if known not in ("self", "fn")]
                return f"{owner}{name}() knows no {word}=.{did_you_mean(word, known)}"
        return f"{owner}{name}() is written {as_written(method, args[0], name)}."
    return None


def _named(
    method: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[str, str]:
    """("saga order: ", "step"): whose method it is and how it is called."""
    kind = type(args[0]).__name__
    if method.__name__ != "__init__":
        return f"{kind.lower()} {args[0].name}: ", method.__name__
    name = args[1] if len(args) > 1 else kwargs.get("name")
    return f"{kind.lower()} {name}: " if isinstance(name, str) else "", kind


def as_written(method: Callable[..., Any], owner: Any, name: str) -> str:
    """The shortest right call: `@order.step(lane=...)`, `@charge_card.probe, without brackets`."""
    words = list(_needed(method))
    decorator = "" if method.__name__ == "__init__" else f"@{owner.name}."
    return (
        f"{decorator}{name}, without brackets"
        if words == ["fn"]
        else f"{decorator}{name}({', '.join(words)})"
    )


def _needed(method: Callable[..., Any]) -> Iterator[str]:
    for word, parameter in list(inspect.signature(method).parameters.items())[1:]:
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD:
            yield word if word in ("fn", "name") else f"{word}=..."


def plain_function(fn: object, what: str) -> None:
    """Raises: DefinitionError for a class, a partial, an object that can be called: nothing has the
    name and the line of a function.
    """
    if callable(getattr(fn, "apply_async", None)):
        raise DefinitionError(
            f"{source_location.caller()}: {what} must be a plain function, and {said(fn)} is a Celery task:"
            " take the decorator @app.task away, or give the function that it was made of"
            " (docs/adopting.md)."
        )
    if not (inspect.isfunction(fn) or inspect.ismethod(fn)):
        raise DefinitionError(
            f"{source_location.caller()}: {what} must be a function written with def, not {said(fn)}."
        )


def length(duration: Duration, word: str, line: str, what: str) -> float:
    """Seconds, 0 included."""
    try:
        return seconds(duration)
    except ValueError as error:
        raise DefinitionError(f"{line}: {what}: {word}: {error}.") from None


def positive(duration: Duration, word: str, line: str, what: str) -> float:
    found = length(duration, word, line, what)
    if found <= 0:
        raise DefinitionError(
            f"{line}: {what}: {word}={duration!r} is not a duration. Say more than 0 seconds."
        )
    return found


def positive_or_none(duration: Duration | None, word: str, line: str, what: str) -> float | None:
    return None if duration is None else positive(duration, word, line, what)


def retry_or_default(retry: Retry | None, line: str, what: str) -> Retry:
    if retry is not None and not isinstance(retry, Retry):
        raise DefinitionError(
            f"{line}: {what}: retry={said(retry)}. Say retry=Retry(limit=5), with Retry from surefoot."
        )
    return retry or Retry()


def choice(value: object, allowed: Sequence[str], word: str, line: str, what: str) -> None:
    if value not in allowed:
        *first, last = map(repr, allowed)
        raise DefinitionError(
            f"{line}: {what}: {word}={value!r}. Say {', '.join(first)} or {last}."
        )


def flag(value: object, word: str, line: str, what: str) -> None:
    if not isinstance(value, bool):
        raise DefinitionError(f"{line}: {what}: {word}={said(value)}. Say True or False.")


def fatal_types(value: object, line: str, what: str) -> tuple[type[BaseException], ...]:
    """Exceptions that mean `Failed`.

    Raises: DefinitionError for what is none, what takes in everything, and our own outcomes.
    """
    if not isinstance(value, (list, tuple)):
        raise DefinitionError(
            f"{line}: {what}: fatal={said(value)}. Say a list of exceptions: fatal=[InsufficientFunds]."
        )
    for one in value:
        if not (isinstance(one, type) and issubclass(one, BaseException)):
            raise DefinitionError(
                f"{line}: {what}: fatal has {said(one)}, which is not an exception class."
            )
        if one in (BaseException, Exception):
            raise DefinitionError(
                f"{line}: {what}: fatal=[{one.__name__}] takes in every accident. Name what the step raises for good."
            )
        if issubclass(one, SurefootError) and not issubclass(one, Failed):
            raise DefinitionError(
                f"{line}: {what}: fatal has {one.__name__}, which has a meaning of its own. Take it out."
            )
    return tuple(value)


def text(value: object, word: str, line: str, what: str) -> None:
    if not isinstance(value, str):
        raise DefinitionError(f"{line}: {what}: {word}={said(value)}. Say a text.")
