"""Step: one node of a saga as its developer declares it, with its undo, probe and confirmation
beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, update_wrapper
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, overload

from surefoot.app.errors import DefinitionError
from surefoot.app.rules.fidelities import FIDELITIES, FidelityWord
from surefoot.app.saga import source_location
from surefoot.app.saga.declaration_args import (
    Duration,
    declaration,
    length,
    plain_function,
    positive,
    positive_or_none,
    retry_or_default,
    said,
)
from surefoot.app.saga.policies import Retry
from surefoot.app.saga.words import NOTHING_SAID, StepWords, declared_words

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])


class Owner(Protocol):
    """What a step asks of the saga it belongs to."""

    name: str

    def still_open(self) -> None:
        """Raise DefinitionError once the graph has been read."""


@dataclass(frozen=True)
class Part:
    """An undo or a confirmation as declared.

    Times in seconds; `queue_timeout_s`: None where nothing was said.

    `settle_after_s`: of an undo, see `Step.compensate`.
    """

    fn: Callable[..., Any]
    where: str
    retry: Retry
    timeout_s: float
    queue_timeout_s: float | None
    heartbeat_timeout_s: float | None = None
    fidelity: str = ""
    note: str = ""
    undone: str = ""
    settle_after_s: float | None = None

    @property
    def name(self) -> str:
        return self.fn.__name__


@dataclass(eq=False, repr=False)
class Step(Generic[P, R]):
    """A declared step. Calling it calls the plain function.

    `after`: names of the steps it waits for, in the order their results are passed. `no_undo`: the
    developer said undo=None. `where`: path:line of its declaration. `safe_to_drill`: it never
    touches the real world. `batchable`: it takes milliseconds.
    `fatal`: exceptions of its function that mean `Failed`.
    """

    saga: Owner
    name: str
    fn: Callable[P, R]
    where: str
    lane: str
    after: tuple[str, ...]
    retry: Retry
    timeout_s: float
    queue_timeout_s: float | None
    heartbeat_timeout_s: float | None
    pivot: bool
    irreversible: bool
    on_unknown: str | None
    on_unknown_undo: str
    no_effect: bool
    no_undo: bool
    note: str
    safe_to_drill: bool
    batchable: bool
    local: dict[str, Any]
    words: StepWords = NOTHING_SAID
    fatal: tuple[type[BaseException], ...] = ()
    undo: Part | None = None
    finder: Callable[..., Any] | None = None
    confirmation: Part | None = None

    def __post_init__(self) -> None:
        update_wrapper(self, self.fn)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.fn(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<Step {self.saga.name}.{self.name} at {self.where}>"

    @cached_property
    def result_type(self) -> Any:
        """What its results are stored as. Raises: NameError for an annotation that means nothing."""
        return source_location.result_type(self.fn, self.local)

    @declaration
    def compensate(
        self,
        fidelity: FidelityWord,
        *,
        note: str = "",
        undone: str = "",
        retry: Retry | None = None,
        timeout: Duration = "60s",
        queue_timeout: Duration | None = None,
        heartbeat_timeout: Duration | None = None,
        settle_after: Duration | None = None,
    ) -> Callable[[F], F]:
        """Declare the undo of this step: a function of (ctx, o, result) or (ctx, o).

        `fidelity`: exact (as if never done), equivalent (a refund beside the charge), partial (a
        fee stays), notice.
        `queue_timeout`: as of a step; then a person is asked.
        `note`: what a user is told of the difference; `undone`: what has happened then, as "card
        refunded". `result` is None when it was never learnt.
        `settle_after`: of a step with a probe, how long after an attempt of unknown outcome has
        ended its request may still take effect: so long a probe's NEVER is asked again (default
        twice the step's timeout; 0 where this undo voids the key).
        """
        if fidelity not in FIDELITIES:
            raise self._wrong(
                f"fidelity={said(fidelity)}: say how well the undo undoes, one of {', '.join(FIDELITIES)}"
            )

        def declare(fn: F) -> F:
            self.saga.still_open()
            plain_function(fn, f"step {self.name}: its undo")
            if self.undo:
                raise self._wrong(
                    f"has two compensations, {self.undo.name} ({self.undo.where}) and {fn.__name__}: keep one",
                    fn,
                )
            words = declared_words(source_location.where(fn), f"step {self.name}", undone=undone)
            made = self._part(fn, retry, timeout, queue_timeout, heartbeat_timeout, fidelity, note)
            late_s = (
                None
                if settle_after is None
                else length(settle_after, "settle_after", made.where, fn.__name__)
            )
            self.undo = replace(made, undone=words.undone, settle_after_s=late_s)
            return fn

        return declare

    @declaration
    def probe(self, fn: F) -> F:
        """Declare how to find out what happened: a function of (ctx, o) that returns
        Happened(result), NEVER or UNKNOWN.
        """
        self.saga.still_open()
        plain_function(fn, f"step {self.name}: its probe")
        if self.finder:
            raise self._wrong(
                f"has two probes, {self.finder.__name__} ({source_location.where(self.finder)}) and {fn.__name__}: keep one",
                fn,
            )
        self.finder = fn
        return fn

    @overload
    def confirm(self, fn: F, /) -> F: ...

    @overload
    def confirm(
        self,
        fn: None = None,
        /,
        *,
        retry: Retry | None = None,
        timeout: Duration = "60s",
        queue_timeout: Duration | None = None,
        heartbeat_timeout: Duration | None = None,
    ) -> Callable[[F], F]: ...

    @declaration
    def confirm(
        self,
        fn: Any = None,
        /,
        *,
        retry: Retry | None = None,
        timeout: Duration = "60s",
        queue_timeout: Duration | None = None,
        heartbeat_timeout: Duration | None = None,
    ) -> Any:
        """Declare the confirmation of this step: a function of (ctx, o, result) or (ctx, o), run
        when every action is done.
        """

        def declare(fn: F) -> F:
            self.saga.still_open()
            plain_function(fn, f"step {self.name}: its confirmation")
            if self.confirmation:
                raise self._wrong(
                    f"has two confirmations, {self.confirmation.name} ({self.confirmation.where}) and {fn.__name__}: keep one",
                    fn,
                )
            self.confirmation = self._part(fn, retry, timeout, queue_timeout, heartbeat_timeout)
            return fn

        return declare if fn is None else declare(fn)

    def _part(
        self,
        fn: Callable[..., Any],
        retry: Retry | None,
        timeout: Duration,
        queue_timeout: Duration | None,
        heartbeat_timeout: Duration | None,
        fidelity: str = "",
        note: str = "",
    ) -> Part:
        at = source_location.where(fn)
        return Part(
            fn=fn,
            where=at,
            retry=retry_or_default(retry, at, fn.__name__),
            timeout_s=positive(timeout, "timeout", at, fn.__name__),
            queue_timeout_s=positive_or_none(queue_timeout, "queue_timeout", at, fn.__name__),
            heartbeat_timeout_s=positive_or_none(
                heartbeat_timeout, "heartbeat_timeout", at, fn.__name__
            ),
            fidelity=fidelity,
            note=note,
        )

    def _wrong(self, problem: str, fn: Callable[..., Any] | None = None) -> DefinitionError:
        return DefinitionError(
            f"{source_location.where(fn) if fn else source_location.caller()}: step {self.name}: {problem}."
        )
