"""Was it right? What must hold when a row has landed, whatever was done to it; each fault found is
one sentence.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy import Engine, func, select

from surefoot.app.drill.expect import Ends, Expected
from surefoot.app.drill.table import Finding
from surefoot.app.drill.world import ReaderFailed, World
from surefoot.app.participant import EffectState
from surefoot.app.rules.fidelities import LEAVES_SOMETHING
from surefoot.app.rules.states import ENDED, Kind, LetterState, OpState
from surefoot.app.saga.definition import Saga
from surefoot.app.store.dead_letters import open_letters as letters_of
from surefoot.app.store.invariants import Scope, violations
from surefoot.app.store.rows.dead_letters import DeadLetterRow
from surefoot.app.store.session import reading
from surefoot.app.store.tables import dead_letters, operations

NEWEST = Scope(newest_jobs=5)  # the rows before have been asked about in their turn
SLACK_S, BOUND_S = (
    30.0,
    300.0,
)  # of virtual time, or of a drill that just ended: nothing may be older


def wrong(
    db: Engine, saga: Saga[Any], world: World, allowed: Ends, letters: int | None
) -> list[Finding]:
    """Everything that does not hold of a job that has landed.

    `allowed`: states; `letters`: open ones, None for any number.
    """
    return [
        *(Finding("", says) for says in _state(world, allowed)),
        *_letters(db, world.job.id, letters),
        *(
            Finding("", f"the engine's invariant does not hold: {sentence}")
            for sentence in violations(db, slack_s=SLACK_S, bound_s=BOUND_S, scope=NEWEST)
        ),
        *_accounts(saga, world),
        *(Finding("", says) for says in _invariants(saga, world)),
    ]


def unmeant(db: Engine, world: World) -> list[Finding]:
    """Of an example without a fault: that it ended by an error of the code or by a limit.

    To be refused may be meant.
    """
    given_up = [letter for letter in open_letters(db, world.job.id) if world.job.state in ENDED]
    return [
        Finding(
            letter.step,
            f"{letter.step} was given up by {_named(letter.error)}; an example may be refused, but no example means that",
        )
        for letter in given_up
    ]


def _named(error: Any) -> str:
    told = error or {}
    return f"{told.get('type', 'an error')}: {told.get('message', '')}".rstrip(": ")


def expected_letters(expected: Expected, *, asked: bool) -> int | None:
    """How many are open in the end: a person's answer closes those that held the job."""
    return None if expected.letters is None or asked else expected.letters


def _state(world: World, allowed: Ends) -> Iterator[str]:
    if world.job.state not in allowed:
        why = f" ({world.job.reason})" if world.job.reason else ""
        yield f"the job is {world.job.state}{why}; it should be {' or '.join(sorted(allowed))}"


def _letters(db: Engine, job_id: str, expected: int | None) -> Iterator[Finding]:
    """Exactly one open letter for each operation that used up its attempts, and no more than the
    row accounts for.
    """
    for row in _exhausted(db, job_id):
        if row.letters != 1:
            name = row.step if row.kind == Kind.ACTION else f"{row.step}.{row.kind}"
            says = f"{name} used up its {row.attempts} attempts, and has {row.letters} open dead letters instead of one"
            yield Finding(row.step, says)
    found = open_letters(db, job_id)
    if expected is not None and len(found) != expected:
        step = found[0].step if found else ""
        yield Finding(step, f"there are {len(found)} open dead letters; there should be {expected}")


def open_letters(db: Engine, job_id: str) -> list[DeadLetterRow]:
    """The open dead letters of a job, oldest first."""
    with reading(db) as connection:
        return letters_of(connection, job_id)


class Exhausted(NamedTuple):
    """An operation that is out of attempts. `letters`: how many of its dead letters are open."""

    step: str
    kind: str
    attempts: int
    letters: int


def _exhausted(db: Engine, job_id: str) -> list[Exhausted]:
    o, d = operations.c, dead_letters.c
    letters = (
        select(func.count())
        .where(d.operation_id == o.id, d.state == LetterState.OPEN)
        .scalar_subquery()
        .label("letters")
    )
    with reading(db) as connection:
        query = select(o.step, o.kind, o.attempts, letters).where(
            o.job_id == job_id, o.state == OpState.FAILED, o.attempts >= o.max_attempts
        )
        return [Exhausted(*row) for row in connection.execute(query)]


def _accounts(saga: Saga[Any], world: World) -> Iterator[Finding]:
    """What the engine believes of each effect, beside what the service says that has it."""
    believed = {effect.key: effect for effect in world.effects}
    for service in saga.effect_readers:
        try:
            answers = world.service(service)
        except ReaderFailed as error:
            yield Finding("", error.message)
            continue
        for seen in answers:
            effect = believed.get(seen.key)
            if (
                effect is None
                or seen.state == EffectState.UNKNOWN
                or effect.fidelity in LEAVES_SOMETHING
            ):
                # it leaves something, so a service may well say that it is there
                continue
            stands = effect.outcome == "done" and effect.undo == "not_needed"
            if stands and seen.state != EffectState.DONE:
                yield Finding(
                    effect.step,
                    f"{effect.step} is done by the engine's account; {service} says {seen.state}",
                )
            if effect.undo == "done" and seen.state == EffectState.DONE:
                yield Finding(
                    effect.step,
                    f"{effect.step} is undone by the engine's account; {service} says {seen.state}",
                )


def _invariants(saga: Saga[Any], world: World) -> Iterator[str]:
    for invariant in saga.invariants:
        name = getattr(invariant, "__name__", "invariant")
        try:
            found = invariant(world) or ()
            for sentence in [found] if isinstance(found, str) else found:
                yield f"{name}: {sentence}"
        except Exception as error:  # a developer's code: its mistake is a finding, not our end
            yield f"{name} could not be asked: {type(error).__name__}: {error}"
