"""The error tree.

Families say what the caller can do about it: fix the request, try later, undo, call a person.

The docstring of a class is its default message; facts are attributes (`details`), so that edges can
show them.
"""

from __future__ import annotations

from typing import Any


def _first_paragraph(text: str) -> str:
    return " ".join(text.strip().partition("\n\n")[0].split())


class SurefootError(Exception):
    """Something went wrong."""

    def __init__(self, message: str | None = None, **details: Any) -> None:
        super().__init__(message or _first_paragraph(type(self).__doc__ or ""))
        self.details: dict[str, Any] = details

    @property
    def message(self) -> str:
        return str(self.args[0])


# --- fix the request ------------------------------------------------------------------------------
class RequestError(SurefootError):
    """The request cannot be carried out as it is."""


class InvalidInput(RequestError):
    """The input does not fit the saga's schema."""

    def __init__(
        self,
        message: str | None = None,
        *,
        faults: list[dict[str, str]] | None = None,
        **details: Any,
    ) -> None:
        """`faults`: one dict for each fault, {"pointer": JSON pointer into the request body,
        "detail": sentence}.
        """
        super().__init__(message, **details)
        self.faults = faults or []


class AboveLimit(RequestError):
    """A value of the input is above its limit. `details`: `pointer`, `limit`."""


class Unreadable(SurefootError):
    """This code cannot read what is stored.

    `details`: `model`, the type it was read as; `field`, where it does not fit ("" for all).
    """


class UnreadableDefinition(Unreadable):
    """This code cannot read the stored definition of a saga: a release of another age wrote it."""


class UnknownSaga(RequestError):
    """No saga of that name is known."""


class KeyReused(RequestError):
    """This idempotency key was used with a different request."""


class NotFound(RequestError):
    """There is no such thing, or it is not yours."""


class Conflict(RequestError):
    """The state of the job forbids this."""


class NotAllowed(RequestError):
    """Your role does not allow this."""


class SettingsError(SurefootError):
    """A setting cannot work as it is."""


class DefinitionError(SurefootError):
    """The definition of a saga has a mistake."""


# --- try later ------------------------------------------------------------------------------------
class TryLater(SurefootError):
    """Not now; the same request may succeed later."""

    def __init__(
        self, message: str | None = None, *, retry_after_s: float = 5.0, **details: Any
    ) -> None:
        super().__init__(message, **details)
        self.retry_after_s = retry_after_s


class TooManyOpenJobs(TryLater):
    """As many jobs are open as may be."""


class StoreUnavailable(TryLater):
    """The store cannot be reached just now."""


class BrokerUnavailable(TryLater):
    """The broker cannot be reached just now."""


# --- stop what you are doing ----------------------------------------------------------------------
class LeaseLost(SurefootError):
    """The lease of this attempt was lost: somebody else may have it, so nothing more may be
    written.
    """


class StopRequested(SurefootError):
    """The job has turned: this attempt shall end now, its undo follows."""
