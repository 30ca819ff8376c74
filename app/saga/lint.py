"""Mistakes in a saga, found before its first job: each one sentence that names the line and what to
change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, PydanticUserError, RootModel

from surefoot.app.errors import AboveLimit, InvalidInput
from surefoot.app.saga import signatures, summary
from surefoot.app.saga.graph_builder import (
    Declared,
    descendants,
    ordered_pairs,
    pivot_of,
    topological,
)
from surefoot.app.saga.inputs import validate_input
from surefoot.app.saga.locking import keys_of
from surefoot.app.saga.naming import did_you_mean
from surefoot.app.saga.outcomes import Rejected
from surefoot.app.saga.step import Step

MAX_STEPS = 12_000  # a job's rows are named in one statement, and SQLite takes 32,766 values in one
# rows of the catalogue's closure for one definition: a chain of 700 steps, or any fork of MAX_STEPS
MAX_PAIRS = 250_000


def mistakes(saga: Declared) -> list[str]:
    """Every mistake, `path:line: ...`, in the order of declaration; empty when the saga can run.

    A graph with a misspelt name or a circle is judged no further: what lies before and after the
    pivot would be a guess.
    """
    if not saga.steps:
        return [
            f"{saga.where}: saga {saga.name} has no steps. Declare one with @{saga.name}.step(lane=...)."
        ]
    if len(saga.steps) > MAX_STEPS:
        return [
            f"{saga.where}: saga {saga.name} has {len(saga.steps):,} steps; at most {MAX_STEPS:,} are taken. Split it into several."
        ]
    found = [
        *_input(saga),
        *_summary(saga),
        *(m for step in saga for m in _names(saga, step)),
        *(m for step in saga for m in signatures.of_step(saga, step)),
    ]
    found += [*_promises(saga), *signatures.of_readers(saga)]
    after = {step.name: step.after for step in saga}
    if any(name not in after for names in after.values() for name in names):
        return found
    order = topological(after)
    if len(order) < len(after):
        return [*found, _cycle(saga, after, set(order))]
    if (pairs := ordered_pairs(after, order)) > MAX_PAIRS:
        said = f"has {pairs:,} pairs of steps where one comes after the other; at most {MAX_PAIRS:,} are kept"
        return [
            *found,
            f"{saga.where}: saga {saga.name} {said}. Split it in several sagas, or let more steps run side by side.",
        ]
    return [*found, *_around_pivot(saga, order, descendants(after, order))]


def _at(step: Step[Any, Any], problem: str) -> str:
    return f"{step.where}: step {step.name} {problem}"


def _summary(saga: Declared) -> Iterator[str]:
    """Asked only of an input that has a schema: what is wrong with that is told before."""
    if saga.summary and not any(True for _ in _input(saga)):
        for mistake in summary.mistakes(saga.summary, saga.input_schema):
            yield f"{saga.where}: saga {saga.name}: summary= {mistake}."


def _input(saga: Declared) -> Iterator[str]:
    model = saga.input_model
    if issubclass(model, RootModel):
        yield f"{saga.where}: saga {saga.name}: input {model.__name__} is a RootModel, but an input is an object. Give it named fields."
        return
    if model.model_config.get("extra") == "allow":
        yield (
            f"{saga.where}: saga {saga.name}: input {model.__name__} allows extra fields, but a misspelt field must be refused. "
            "Take extra='allow' away; free data goes into a field of type dict."
        )
    try:
        schema = saga.input_schema
    except PydanticUserError as error:
        why = error.message.splitlines()[0].rstrip(".")
        yield f"{saga.where}: saga {saga.name}: input {model.__name__} cannot be read from JSON: {why}."
        return
    for number, example in enumerate(saga.examples):
        if not isinstance(example, model):
            name = model.__name__
            yield (
                f"{saga.where}: saga {saga.name}: examples[{number}] is not an instance of {name}. "
                f"Make it one: {name}(...)."
            )
            continue
        try:
            validate_input(schema, model, example.model_dump(mode="json", by_alias=True))
        except InvalidInput as error:
            told = "; ".join(f"{fault['pointer']} {fault['detail']}" for fault in error.faults)
            yield f"{saga.where}: saga {saga.name}: examples[{number}] would be refused as a job's input: {told}."
        except AboveLimit as error:
            yield f"{saga.where}: saga {saga.name}: examples[{number}] would be refused as a job's input: {error.message}"
        else:
            yield from _locks(saga, number, example)


def _locks(saga: Declared, number: int, example: BaseModel) -> Iterator[str]:
    """What only a try can tell: that the locks of an example can be named."""
    try:
        keys_of(saga, example)
    except Rejected as error:
        yield f"{saga.where}: saga {saga.name}: for examples[{number}] {error.message}."
    except Exception as error:  # whatever a developer's function raises
        yield f"{saga.where}: saga {saga.name}: locks= fails for examples[{number}]: {type(error).__name__}: {error}."


def _names(saga: Declared, step: Step[Any, Any]) -> Iterator[str]:
    for name in step.after:
        if name not in saga:
            yield _at(
                step,
                f"comes after {name!r}, which is not a step of saga {saga.name}.{did_you_mean(name, saga.steps)}",
            )
    twice = sorted(name for name, times in Counter(step.after).items() if times > 1)
    if twice:
        yield _at(step, f"names {', '.join(twice)} twice in after=. Name each step once.")


def _cycle(saga: Declared, after: dict[str, tuple[str, ...]], placed: set[str]) -> str:
    """One cycle, as a path.

    Every unplaced step waits for an unplaced one, so following those must come round.
    """
    path = [next(name for name in after if name not in placed)]
    while (leader := next(name for name in after[path[-1]] if name not in placed)) not in path:
        path.append(leader)
    ring = path[path.index(leader) :]
    told = " after ".join([*ring, leader])
    return f"{saga[ring[0]].where}: saga {saga.name} goes round in a circle: {told}. Take one of these out of an after=."


def _promises(saga: Declared) -> Iterator[str]:
    """What a step says of itself and cannot all be true."""
    for step in saga:
        if step.undo and (step.no_undo or step.no_effect):
            said = "undo=None" if step.no_undo else "no_effect=True"
            yield _at(
                step,
                f"says {said} and has the compensation {step.undo.name} ({step.undo.where}). Keep one of the two.",
            )
        if step.irreversible and (step.undo or step.no_effect):
            other = (
                f"has the compensation {step.undo.name} ({step.undo.where})"
                if step.undo
                else "no_effect=True"
            )
            yield _at(step, f"says irreversible=True and {other}. Keep one of the two.")
        if step.irreversible and not step.on_unknown and not step.finder:
            yield _at(
                step,
                "is irreversible, so say what a time-out means: on_unknown='retry' (it may happen twice), "
                f"on_unknown='attention' (a person is asked), or write a probe under @{step.name}.probe.",
            )
        for what, part in (
            ("a", step),
            ("an undo with a", step.undo),
            ("a confirmation with a", step.confirmation),
        ):
            if (
                part is not None
                and part.heartbeat_timeout_s is not None
                and part.heartbeat_timeout_s >= part.timeout_s
            ):
                yield _at(
                    step,
                    f"has {what} heartbeat_timeout of {part.heartbeat_timeout_s:g} s, "
                    f"but its timeout of {part.timeout_s:g} s ends it first. "
                    "Say a shorter one, or a longer timeout=.",
                )
        if step.on_unknown and not step.irreversible:
            said = f"says on_unknown={step.on_unknown!r}, which is for irreversible steps"
            yield _at(step, f"{said}. Take it away, or say irreversible=True.")
        if step.on_unknown_undo != "undo" and not step.undo:
            said = f"says on_unknown_undo={step.on_unknown_undo!r}, but has no undo"
            yield _at(
                step,
                f"{said}. Take it away, or write an undo under @{step.name}.compensate(fidelity=...).",
            )


def _around_pivot(saga: Declared, order: list[str], reach: dict[str, set[str]]) -> Iterator[str]:
    declared = [name for name in order if saga[name].pivot]
    if len(declared) > 1:
        first, second = saga[declared[0]], saga[declared[1]]
        yield _at(
            second,
            f"is a second pivot beside {first.name} ({first.where}). There is one point of no return: keep one.",
        )
        return
    pivot = pivot_of(saga.steps, order)
    for step in saga:
        if pivot and step.name in reach[pivot] | {pivot}:
            yield from _no_return(step, pivot)
        elif pivot and pivot not in reach[step.name]:
            yield _at(
                step,
                f"is neither before nor after the pivot {pivot} ({saga[pivot].where}), so it could fail when there is no way back. "
                f"Let {pivot} come after {step.name}, or {step.name} after {pivot}.",
            )
        else:
            yield from _way_back(step, pivot)


def _no_return(step: Step[Any, Any], pivot: str) -> Iterator[str]:
    if step.undo and not step.irreversible:
        place = "is the pivot" if step.name == pivot else f"comes after the pivot {pivot}"
        never = f"{step.undo.name} ({step.undo.where}) would never run"
        yield _at(
            step,
            f"{place}, from where a job only goes forward, so {never}. Take it away, or move the pivot.",
        )


def _way_back(step: Step[Any, Any], pivot: str | None) -> Iterator[str]:
    if step.irreversible:
        yield _at(
            step,
            f"is irreversible, but comes before the pivot {pivot}. Let it come after {pivot}, or make it the pivot.",
        )
    elif not (step.undo or step.no_undo or step.no_effect):
        before = f" before the pivot {pivot}" if pivot else ""
        yield _at(
            step,
            f"can be left behind when the job is undone{before}. Write its undo under @{step.name}.compensate(fidelity=...), "
            "or say undo=None (what it did may stay) or no_effect=True (it does nothing outside).",
        )
