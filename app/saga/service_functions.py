"""What a saga is told about its services: the functions that read, list and take back their
effects.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from surefoot.app.errors import DefinitionError
from surefoot.app.saga import source_location
from surefoot.app.saga.declaration_args import as_written, declaration, plain_function
from surefoot.app.saga.naming import did_you_mean
from surefoot.app.saga.step import Step

F = TypeVar("F", bound=Callable[..., Any])


class ServiceFunctions:
    """The part of a saga that reconciliation and drills ask about services."""

    name: str
    steps: dict[str, Step[Any, Any]]
    # service -> function of (keys)
    effect_readers: dict[str, Callable[..., Any]]
    # service -> the steps whose effects are its own, where that was said
    effect_steps: dict[str, tuple[str, ...]]
    # service -> function of (first, last): everything it has between two keys
    effect_listers: dict[str, Callable[..., Any]]
    # service -> function of (ctx, report)
    effect_undoers: dict[str, Callable[..., Any]]

    def step_named(self, name: str) -> Step[Any, Any]:
        """Raises: DefinitionError that names the caller's line."""
        try:
            return self.steps[name]
        except KeyError:
            raise DefinitionError(
                f"{source_location.caller()}: saga {self.name} has no step {name!r}.{did_you_mean(name, self.steps)}"
            ) from None

    @declaration
    def effect_reader(
        self,
        service: str,
        *,
        steps: Sequence[Step[Any, Any] | str] | Step[Any, Any] | str | None = None,
    ) -> Callable[[F], F]:
        """Register the reader of a service's truth: a function of (keys) for reconciliation and
        drills.

        `steps`: those whose effects this service has; left out, those of the lane that is called
        like the service. What a step of these did and the service knows nothing of is missing. A
        reader of no step's effects is asked about all keys, and what it does not mention is not a
        finding.
        """

        self._check_service(service, ServiceFunctions.effect_reader)

        def register(fn: F) -> F:
            plain_function(fn, f"saga {self.name}: the reader of {service!r}")
            if service in self.effect_readers:
                first = source_location.where(self.effect_readers[service])
                raise DefinitionError(
                    f"{source_location.where(fn)}: saga {self.name}: {service!r} has a reader already ({first}). Keep one."
                )
            self.effect_readers[service] = fn
            if steps is not None:
                named = [steps] if isinstance(steps, (str, Step)) else steps
                self.effect_steps[service] = tuple(
                    self.step_named(step if isinstance(step, str) else step.name).name
                    for step in named
                )
            return fn

        return register

    @declaration
    def effect_lister(self, service: str) -> Callable[[F], F]:
        """Register what lists a service's effects: a function of (first, last) that returns
        EffectReport for each key in between.

        With it reconciliation finds orphans: effects of jobs that do not exist. It may return a
        part, the first by key: then it is asked again from the last key on, until it returns
        nothing.
        """
        self._check_service(service, ServiceFunctions.effect_lister)
        return self._kept_in(self.effect_listers, service, "what lists the effects of", "listed")

    @declaration
    def undo_effect(self, service: str) -> Callable[[F], F]:
        """Register what takes back one effect of a service without its job: a function of (ctx,
        report).

        For effects whose job the store has lost: there is no input, so `ctx` has the keys of the
        step's undo, and `report` is what the reader says. It may be called again; whatever it
        raises is told, and the finding stays open.
        """
        self._check_service(service, ServiceFunctions.undo_effect)
        return self._kept_in(self.effect_undoers, service, "what undoes an effect of", "undone")

    def _kept_in(
        self, kept: dict[str, Callable[..., Any]], service: str, what: str, done: str
    ) -> Callable[[F], F]:
        def register(fn: F) -> F:
            plain_function(fn, f"saga {self.name}: {what} {service!r}")
            if service in kept:
                first = source_location.where(kept[service])
                raise DefinitionError(
                    f"{source_location.where(fn)}: saga {self.name}: the effects of {service!r} are {done} already ({first})."
                )
            kept[service] = fn
            return fn

        return register

    def steps_of(self, service: str) -> frozenset[str]:
        """The steps whose effects this service has; none when its reader only mentions what it
        knows.
        """
        if service in self.effect_steps:
            return frozenset(self.effect_steps[service])
        return frozenset(step.name for step in self.steps.values() if step.lane == service)

    def _check_service(self, service: object, method: Callable[..., Any]) -> None:
        if not isinstance(service, str):
            written = as_written(method, self, method.__name__)
            raise DefinitionError(
                f"{source_location.caller()}: saga {self.name}: {method.__name__}() is written {written}."
            )
