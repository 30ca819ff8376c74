"""A world for the tests of saga authors: submit, let steps fail, let time pass, see what was done
and what was undone.

The engine is the real one, on a store in memory. A step's function is called as a worker calls it.
Nothing else is there: no broker, no process, no waiting. Time is virtual, so an hour of back-offs
takes no time.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from contextvars import copy_context
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any

from pydantic import BaseModel
from sqlalchemy import func, select

from surefoot.app import faults
from surefoot.app.config import Settings
from surefoot.app.engine.jobs.submit import Submission
from surefoot.app.engine.operators import decisions
from surefoot.app.errors import InvalidInput, SurefootError
from surefoot.app.explain.story import why
from surefoot.app.faults import Crashed, Point
from surefoot.app.rules.states import Kind, OpState
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.naming import did_you_mean
from surefoot.app.saga.outcomes import Rejected
from surefoot.app.saga.policies import seconds
from surefoot.app.saga.step import Step
from surefoot.app.store import job_reads, operation_reads
from surefoot.app.store.ids import operation_id
from surefoot.app.store.rows.jobs import JobRow
from surefoot.app.store.rows.operations import OperationRow
from surefoot.app.store.session import reading
from surefoot.app.store.tables import history, operations
from surefoot.app.testkit.clock import START, VirtualClock
from surefoot.app.testkit.memory import open_memory_store
from surefoot.app.testkit.script import Planned, Script
from surefoot.app.testkit.underway import at_rest, next_due_s
from surefoot.app.testkit.world import World

ACTOR = "test"
MOST_ROUNDS = 2000  # of letting time pass, until all jobs are at rest
ROUNDS_OF_A_PASS = 20  # into how many rounds a time that passes is cut at the least


class UnknownName(SurefootError):
    """A test names a saga, a step or a job that this world does not have."""


class NotAtRest(SurefootError, AssertionError):
    """A job still moves, though time enough has passed."""


class Quiet(World):
    """A worker that dies takes its message with it; the lease brings the operation back."""

    def deliver_next(self) -> Any:
        try:
            return copy_context().run(super().deliver_next)  # what a step binds ends with it
        except Crashed:
            return self  # somebody else's turn


class SagaWorld:
    """`sagas`: what can run here; the first is the one that is meant where none is named.

    A job is named by its id, as `submit` returns it. Steps are named by their names or by
    themselves. Every call that names something unknown raises UnknownName with what there is.
    """

    def __init__(self, *sagas: Saga[Any]) -> None:
        """Raises: ValueError without a saga; DefinitionError for one with a mistake."""
        if not sagas:
            raise ValueError("saga_world() needs at least one saga")
        self._sagas = {saga.name: saga for saga in sagas}
        self._first = sagas[0]
        self._clock, self._script, self._held = VirtualClock(), Script(), ExitStack()
        self._jobs: list[str] = []

    def __enter__(self) -> SagaWorld:
        self._db = open_memory_store(self._clock)
        self._held.callback(self._db.dispose)
        settings = Settings(
            env="test", faults="", sagas="", lease_seconds=15, heartbeat_seconds=5, lost_seconds=60
        )
        self._world = Quiet(self._db, settings, tuple(self._sagas.values()))
        self._held.enter_context(faults.injecting(self._script))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._held.close()

    # --- asking -----------------------------------------------------------------------------------
    def submit(
        self,
        input: BaseModel | Mapping[str, Any],  # noqa: A002
        *,
        saga: Saga[Any] | str | None = None,
    ) -> str:
        """Ask for a job.

        Nothing runs yet. Returns its id. Raises: InvalidInput, as the API answers.
        """
        value = (
            input.model_dump(mode="json", by_alias=True)
            if isinstance(input, BaseModel)
            else dict(input)
        )
        name = self._saga(saga).name
        try:
            job_id = self._world.ask(Submission(self._world.tenant, name, value, ACTOR))
        except InvalidInput as error:
            for fault in error.faults:
                error.add_note(str(fault))
            raise
        self._jobs.append(job_id)
        return job_id

    def cancel(self, job: str) -> None:
        """A customer cancels. Raises: Conflict for a job that has ended or turned."""
        self._row(job)
        decision = decisions.cancel(self._db, self._world.settings, job, ACTOR)
        self._world.publish_plan(decision.plan)

    # --- what goes wrong --------------------------------------------------------------------------
    def fail(
        self,
        step: str | Step[Any, Any],
        error: BaseException | None = None,
        *,
        kind: str = Kind.ACTION,
        times: int | None = 1,
        after: bool = False,
        saga: Saga[Any] | str | None = None,
    ) -> None:
        """The next `times` calls of a step raise `error`; with None, all of them.

        `kind`: "action", "undo" or "confirm". `after`: the step has run, and its answer is lost:
        nobody knows whether it took effect. Without an error it is `Rejected`, or a
        `ConnectionError` where the answer is lost.
        """
        said = error or (ConnectionError("the answer was lost") if after else Rejected("refused"))
        self._plan(step, kind, saga, Planned(_point(after=after), said, times))

    def crash(
        self,
        step: str | Step[Any, Any],
        *,
        kind: str = Kind.ACTION,
        times: int | None = 1,
        after: bool = True,
        saga: Saga[Any] | str | None = None,
    ) -> None:
        """A worker dies at the next `times` calls of a step: after its effect, or before it
        (`after=False`).
        """
        self._plan(step, kind, saga, Planned(_point(after=after), Crashed(), times))

    def unmet(self) -> list[str]:
        """The operations that never came to what was planned for them, as `trip.book_hotel.undo`."""
        return self._script.unmet()

    # --- time -------------------------------------------------------------------------------------
    @property
    def now(self) -> datetime:
        """The world's time, as `ctx.now()` tells it."""
        return START + timedelta(seconds=self._clock.now_s)

    def pass_time(self, duration: float | str) -> None:
        """Let so much time pass ("90s", "1h"): whatever is due in it happens.

        Raises: ValueError for no duration.
        """
        whole_s = seconds(duration)
        until = self._clock.now_s + whole_s
        self._world.drain()
        while (left_s := until - self._clock.now_s) > 0:
            self._advance(min(left_s, self._due_s(), max(5.0, whole_s / ROUNDS_OF_A_PASS)))

    def land(self, within: float | str = "7d") -> None:
        """Let time pass until every job has ended or waits for a person.

        Raises: NotAtRest, which tells why.
        """
        until = self._clock.now_s + seconds(within)
        for _ in range(MOST_ROUNDS):
            self._world.drain()
            moving = [job for job in self._jobs if not at_rest(self._db, job)]
            if not moving:
                return
            if self._clock.now_s >= until:
                break
            self._advance(min(self._due_s(), until - self._clock.now_s))
        told = "; ".join(f"{self._row(job).saga}: {self.why(job)}" for job in moving)
        raise NotAtRest(f"Not at rest after {self._clock.now_s:,.0f} s: {told}")

    # --- what became of it ------------------------------------------------------------------------
    def state(self, job: str) -> str:
        """running, compensating, attention, completed, failed or cancelled."""
        return str(self._row(job).state)

    def done(self, job: str) -> list[str]:
        """The steps that completed, in the order they did; those that were undone since, too."""
        return self._completed(job, Kind.ACTION)

    def undone(self, job: str) -> list[str]:
        """The steps that were undone, in the order they were."""
        return self._completed(job, Kind.UNDO)

    def result(self, job: str, step: str | Step[Any, Any], *, kind: str = Kind.ACTION) -> Any:
        """What a step returned, as JSON; None where it has not completed."""
        row = self._operation(job, step, kind)
        return row.result if row is not None else None

    def attempts(self, job: str, step: str | Step[Any, Any], *, kind: str = Kind.ACTION) -> int:
        """How often a step was begun."""
        row = self._operation(job, step, kind)
        return int(row.attempts) if row is not None else 0

    def why(self, job: str) -> str:
        """Why the job stands where it stands, in the sentence that `surefoot why` prints."""
        self._row(job)
        return str(why(self._db, job, None)["sentence"])

    # --- names ------------------------------------------------------------------------------------
    def _saga(self, saga: Saga[Any] | str | None) -> Saga[Any]:
        if saga is None:
            return self._first
        name = saga if isinstance(saga, str) else saga.name
        if name not in self._sagas:
            raise UnknownName(f"This world has no saga {name!r}.{did_you_mean(name, self._sagas)}")
        return self._sagas[name]

    def _step(self, saga: Saga[Any], step: str | Step[Any, Any], kind: str) -> str:
        name = step if isinstance(step, str) else step.name
        nodes = saga.graph.by_name
        if name not in nodes:
            raise UnknownName(f"Saga {saga.name} has no step {name!r}.{did_you_mean(name, nodes)}")
        has = {
            Kind.ACTION: True,
            Kind.UNDO: nodes[name].compensation is not None,
            Kind.CONFIRM: nodes[name].confirm is not None,
        }
        if not has.get(kind, False):  # type: ignore[call-overload]
            kinds = ", ".join(known for known, there in has.items() if there)
            raise UnknownName(f"Step {saga.name}.{name} has no {kind!r}. It has {kinds}.")
        return name

    def _plan(
        self,
        step: str | Step[Any, Any],
        kind: str,
        saga: Saga[Any] | str | None,
        planned: Planned,
    ) -> None:
        meant = self._saga(saga)
        target = f"{meant.name}.{self._step(meant, step, kind)}"
        self._script.plan(target if kind == Kind.ACTION else f"{target}.{kind}", planned)

    # --- the store --------------------------------------------------------------------------------
    def _due_s(self) -> float:
        """How long until the first thing is due of any job that moves."""
        return next_due_s(self._db, self._world.settings, self._jobs, self.now)

    def _advance(self, by_s: float) -> None:
        self._clock.advance(by_s)
        self._world.sweep()
        self._world.drain()

    def _row(self, job: str) -> JobRow:
        if job not in self._jobs:
            raise UnknownName(
                f"This world has no job {job!r}. A job's id is what submit() returns."
            )
        with reading(self._db) as connection:
            return job_reads.job(connection, job)

    def _operation(self, job: str, step: str | Step[Any, Any], kind: str) -> OperationRow | None:
        name = self._step(self._sagas[self._row(job).saga], step, kind)
        with reading(self._db) as connection:
            return operation_reads.operation(connection, operation_id(job, name, "", kind))

    def _completed(self, job: str, kind: Kind) -> list[str]:
        self._row(job)
        o, h = operations.c, history.c
        query = (
            select(o.step)
            .join(history, (h.job_id == o.job_id) & (h.step == o.step) & (h.kind == o.kind))
            .where(o.job_id == job, o.kind == kind, o.state == OpState.COMPLETED)
            .group_by(o.step)
            .order_by(func.max(h.seq))
        )
        with reading(self._db) as connection:
            return [str(step) for step in connection.scalars(query)]


def _point(*, after: bool) -> Point:
    return Point.AFTER_EFFECT if after else Point.BEFORE_EFFECT
