"""A world in one process: the real engine on a real database, a broker made of lists, and a participant with a barrier.

The broker keeps the promises that Celery's canvas keeps for us (`surefoot.app.testkit`), and breaks them when told to.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Engine, func, select, text

from surefoot.app.clock import UtcDateTime
from surefoot.app.config import Settings
from surefoot.app.engine.jobs import claiming, completion
from surefoot.app.engine.jobs.attempt import Attempt, Completion, TransitionResult
from surefoot.app.engine.jobs.dispatch import Publishes
from surefoot.app.engine.jobs.intake import Entrance
from surefoot.app.engine.jobs.submit import Submission
from surefoot.app.engine.operators import decisions
from surefoot.app.engine.worker.delivery import Delivery, ExecutionResult
from surefoot.app.engine.worker.loop import Loop
from surefoot.app.rules.states import Kind
from surefoot.app.saga.context import Context
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.graph import Graph
from surefoot.app.saga.outcomes import Rejected
from surefoot.app.saga.policies import Retry
from surefoot.app.store import definitions, operation_reads
from surefoot.app.store.claims import ClaimRequest, Holder
from surefoot.app.store.invariants import violations
from surefoot.app.store.session import reading
from surefoot.app.store.tables import (
    acts,
    dead_letters,
    history,
    jobs,
    metadata,
    operations,
)
from surefoot.app.testkit import landing
from surefoot.app.testkit import world as testkit
from surefoot.app.testkit.broker import FakeContinuation
from surefoot.app.testkit.delivery import Child, FakeDelivery
from tests.support.stores import open_new_store

BOOT = "world"
AT_REST = ("completed", "failed", "cancelled", "attention")
LEASE_S = (
    30.0  # time passes by `let_pass`: longer than a busy machine may stop a test in the middle
)


class Thing(BaseModel):
    name: str = "thing"


@dataclass
class Participant:
    """A service with a barrier: one effect for a key, an undo that leaves a tombstone."""

    done: dict[str, str] = field(default_factory=dict)  # effect key -> "done" | "tombstone"
    order: list[tuple[str, str]] = field(default_factory=list)  # (step, kind) as effects happened
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    script: dict[tuple[str, str], list[Any]] = field(default_factory=lambda: defaultdict(list))

    def act(self, ctx: Context) -> str:
        """An effect, as the script says: an exception before it, one `after` it, or any value instead of the result."""
        self.calls[ctx.step, ctx.kind] += 1
        planned = self.script[ctx.step, ctx.kind]
        said = planned.pop(0) if planned else None
        if isinstance(said, BaseException) and not getattr(said, "after_effect", False):
            raise said
        if callable(said):
            said = said(ctx)
        if said is not None and not isinstance(said, BaseException):
            return said
        if ctx.kind == "undo":
            if (
                self.done.setdefault(ctx.action_key, "tombstone") == "done"
                and ctx.key not in self.done
            ):
                self.done[ctx.key] = "done"
                self.order.append((ctx.step, ctx.kind))
        elif self.done.get(ctx.key) == "tombstone":
            raise Rejected("undone before it came")
        elif ctx.key not in self.done:
            self.done[ctx.key] = "done"
            self.order.append((ctx.step, ctx.kind))
        if isinstance(said, BaseException):
            raise said
        return f"{ctx.step} done"

    def steps(self, kind: str = "action") -> list[str]:
        return [step for step, k in self.order if k == kind]


def after_effect(error: BaseException) -> BaseException:
    """This error comes after the effect has happened: an unknown outcome."""
    error.after_effect = True  # type: ignore[attr-defined]
    return error


def let_pass(db: Engine, seconds: float) -> None:
    """Every time on record moves into the past; with `seconds` below zero into the future, as if the database's clock had jumped back."""
    with db.begin() as tx:
        for table in metadata.sorted_tables:
            if table is acts:
                continue  # the store refuses to change it
            columns = [c for c in table.columns if isinstance(c.type, UtcDateTime)]
            if columns:
                if db.dialect.name == "sqlite":
                    sets = ", ".join(
                        f"{c.name} = strftime('%Y-%m-%d %H\\:%M\\:%f000', {c.name}, '{-seconds:+f} seconds')"
                        for c in columns
                    )
                else:
                    sets = ", ".join(
                        f"{c.name} = {c.name} - interval '{seconds} seconds'" for c in columns
                    )
                tx.execute(text(f"UPDATE {table.name} SET {sets}"))


class RunOn(FakeContinuation):
    """Counts what is run on to, and calls `before_rider` before each."""

    def __init__(self, world: World, delivery: FakeDelivery) -> None:
        super().__init__(world.broker, delivery, world.child)
        self._world = world

    def move_on(self, performed: ExecutionResult) -> Delivery:
        self._world.ran_on += 1
        if self._world.before_rider is not None:
            self._world.before_rider()
        return super().move_on(performed)


class World(testkit.World):
    """`saga` runs in it; its steps call `world.service.act(ctx)`."""

    def __init__(
        self, url: str, sagas: Sequence[Saga[Any]], service: Participant, **settings: Any
    ) -> None:
        self._begin(open_new_store(url), sagas, service, **settings)

    @classmethod
    def on(cls, db: Engine, sagas: Sequence[Saga[Any]], service: Participant) -> World:
        """A world on a store that there is already."""
        world = cls.__new__(cls)
        world._begin(db, sagas, service)
        return world

    def _begin(
        self, db: Engine, sagas: Sequence[Saga[Any]], service: Participant, **settings: Any
    ) -> None:
        chosen = Settings(env="test", lease_seconds=LEASE_S, heartbeat_seconds=0.5, **settings)
        super().__init__(db, chosen, sagas)
        self.saga = sagas[0].name
        self.service = service
        self.runs_on = False
        self.ran_on = 0
        self.before_rider: Callable[[], Any] | None = None

    @property
    def entrance(self) -> Entrance:
        return Entrance.of(self.db, self.settings, self.registry)

    # --- asking for work -------------------------------------------------------------------------------------------
    def submit(self, **more: Any) -> str:
        said = {"actor": "test", "input": {"name": "x"}} | more
        return self.ask(Submission(tenant_id=self.tenant, saga=self.saga, **said))

    def cancel(self, job_id: str) -> decisions.Decision:
        return self.rung(decisions.cancel(self.db, self.settings, job_id, "test"))

    def rung(self, decision: Any) -> Any:
        self.publish_plan(decision.plan)
        return decision

    # --- letting it run --------------------------------------------------------------------------------------------
    def deliver(
        self, delivery: FakeDelivery, publisher: Publishes | None = None
    ) -> ExecutionResult:
        """A worker gets a message: the real engine does the rest, and runs on along the lane if `self.runs_on`."""
        self.child = Child(BOOT, 1, self.runs_on)
        return Loop(self.runtime(publisher)).serve(RunOn(self, delivery))

    def claim(
        self, job_id: str, step: str, kind: str = "action", *, worker_id: str = BOOT, pid: int = 1
    ) -> Attempt | None:
        """A worker takes an operation, and does nothing yet."""
        row = self.operation(job_id, step, kind)
        limits = self.graph(job_id).by_name[step].limits_of(kind)
        return claiming.claim(
            self.db,
            claiming.claim_request(
                self.settings, row.id, limits, Holder(worker_id=worker_id, pid=pid)
            ),
        )

    def complete(
        self,
        attempt: Attempt,
        result: Any,
        carried: frozenset[str] = frozenset(),
        then: ClaimRequest | None = None,
    ) -> TransitionResult:
        """Its result is put on record, as `execute_operation` does it: in one statement where the store can and the job allows it."""
        with reading(self.db) as c:
            row = operation_reads.operation(c, attempt.operation_id)
        assert row is not None
        ended = None
        if row.kind == Kind.ACTION:
            ended = completion.complete_forward(
                self.db,
                self.graph(row.job_id),
                row.step,
                attempt,
                Completion(result, carried, then),
            )
        return ended or completion.complete(self.db, attempt, result, carried, then)

    def graph(self, job_id: str) -> Graph:
        with reading(self.db) as c:
            return definitions.graph_of(c, self.job(job_id).digest)

    def next(self, task: str | None = None) -> FakeDelivery:
        """Take the next message off the broker (of this task)."""
        for index, parcel in enumerate(self.broker.waiting):
            if task is None or parcel.message.task == task:
                return self.broker.waiting.pop(index)
        raise AssertionError(
            f"no message of {task}: {[r.message.task for r in self.broker.waiting]}"
        )

    def let_pass(self, seconds: float) -> None:
        """Time passes."""
        let_pass(self.db, seconds)

    def land(self, job_id: str, rounds: int = 80, pass_s: float = 61.0) -> str:
        """Deliver and sweep, letting time pass, until the job has ended or a person is asked."""
        left = iter(range(rounds))

        def pass_time() -> bool:
            self.let_pass(pass_s)
            self.sweep()
            return next(left, None) is not None

        if landing.land(self.drain, lambda: self.state(job_id) in AT_REST, pass_time):
            return self.state(job_id)
        raise AssertionError(f"not landed: {self.state(job_id)} {self.operations(job_id)}")

    # --- looking ---------------------------------------------------------------------------------------------------
    def job(self, job_id: str) -> Any:
        with reading(self.db) as c:
            return c.execute(select(jobs).where(jobs.c.id == job_id)).one()

    def state(self, job_id: str) -> str:
        return str(self.job(job_id).state)

    def operation(self, job_id: str, step: str, kind: str = "action") -> Any:
        o = operations.c
        with reading(self.db) as c:
            return c.execute(
                select(operations).where(o.job_id == job_id, o.step == step, o.kind == kind)
            ).one_or_none()

    def operations(self, job_id: str) -> dict[str, str]:
        with reading(self.db) as c:
            rows = c.execute(
                select(operations).where(operations.c.job_id == job_id).order_by(operations.c.rank)
            )
            return {f"{r.step}.{r.kind}": r.state for r in rows}

    def events(self, job_id: str) -> list[str]:
        with reading(self.db) as c:
            rows = c.execute(
                select(history.c.event, history.c.step)
                .where(history.c.job_id == job_id)
                .order_by(history.c.seq)
            )
            return [f"{r.event} {r.step}" if r.step else r.event for r in rows]

    def letters(self, job_id: str, state: str = "open") -> list[Any]:
        d = dead_letters.c
        with reading(self.db) as c:
            return list(c.execute(select(dead_letters).where(d.job_id == job_id, d.state == state)))

    def count(self, table: Any) -> int:
        with reading(self.db) as c:
            return int(c.execute(select(func.count()).select_from(table)).scalar_one())

    def broken(self, slack_s: float = 5.0, bound_s: float = 300.0) -> dict[str, list[str]]:
        return violations(self.db, slack_s=slack_s, bound_s=bound_s)


def diamond(service: Participant, **changes: Callable[[Saga[Any]], None]) -> Saga[Any]:
    """first -> (left || right) -> commit (pivot) -> after -> last (irreversible): the shape of an order."""
    saga = Saga("diamond", version=1, input=Thing)
    few, undos, onward = (
        Retry(limit=5),
        Retry(limit=10),
        Retry(limit=20),
    )  # so that a test can count them

    @saga.step(lane="a", retry=few)
    def first(ctx, o) -> str:
        return service.act(ctx)

    @first.compensate(fidelity="exact", retry=undos)
    def undo_first(ctx, o, made):
        service.act(ctx)

    @saga.step(lane="b", after=[first], retry=few)
    def left(ctx, o) -> str:
        return service.act(ctx)

    @left.compensate(fidelity="exact", retry=undos)
    def undo_left(ctx, o, made):
        service.act(ctx)

    @saga.step(lane="c", after=[first], retry=few)
    def right(ctx, o) -> str:
        return service.act(ctx)

    @right.compensate(fidelity="equivalent", note="shows on the statement", retry=undos)
    def undo_right(ctx, o, made):
        service.act(ctx)

    @saga.step(lane="a", after=[left, right], pivot=True, retry=few)
    def commit(ctx, o) -> str:
        return service.act(ctx)

    @saga.step(lane="b", retry=onward)
    def after(ctx, o) -> str:
        return service.act(ctx)

    @saga.step(lane="c", irreversible=True, on_unknown="retry", retry=onward)
    def last(ctx, o) -> str:
        return service.act(ctx)

    return saga
