"""What PostgreSQL does in one statement is what the moves do step by step: the same rows, whatever is delivered in whatever order."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from unittest import mock

import pytest
from sqlalchemy import Table, select

from surefoot.app.engine.jobs import retries
from surefoot.app.engine.jobs.dispatch import publish_plan
from surefoot.app.engine.jobs.submit import Submission, submit
from surefoot.app.engine.worker import execute
from surefoot.app.errors import Conflict
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.outcomes import NotYet, Rejected
from surefoot.app.store import postgres_fast_path
from surefoot.app.store.ids import new_id
from surefoot.app.store.session import reading
from surefoot.app.store.tables import dead_letters, history, job_tags, jobs, operations
from tests.support.postgres_server import PostgresServer
from tests.support.world import LEASE_S, Participant, Thing, World, after_effect

Rows = dict[str, list[dict[str, Any]]]  # table -> its rows
SAGAS, JOBS = 12, 24
ACTIONS = 40  # of one job, at most
TABLES: dict[Table, tuple[Any, ...]] = {
    jobs: (jobs.c.id,),
    operations: (operations.c.step, operations.c.kind),
    history: (history.c.seq,),
    dead_letters: (dead_letters.c.step, dead_letters.c.kind),
    job_tags: (job_tags.c.tag,),
}
OWN = {"id", "job_id", "operation_id", "tenant_id", "token", "message_id"}  # each world has its own
COUNTED = "rev"  # grows with every write of the job: how many there are is no promise
SPANS = (
    ("lease_until", "hard_deadline_at"),
    ("lease_until", "heartbeat_deadline_at"),
    ("ready_at", "claim_deadline_at"),
    ("created_at", "sla_at"),
)


# --- sagas ---------------------------------------------------------------------------------------------------------
def drawn(seed: int, service: Participant) -> Saga[Any]:
    """Any graph: forks, joins and chains on one lane or two, batchable or not, with or without a pivot or a time to stall."""
    chance = random.Random(f"{seed} saga")
    saga: Saga[Any] = Saga(f"s{seed}", version=1, input=Thing, sla="2h")
    steps: list[str] = []
    ends: set[str] = set()
    lanes = chance.choice(("a", "a", "ab"))
    batchable = chance.random() < 0.4
    for number in range(chance.randint(1, 6)):
        after = sorted(chance.sample(steps, min(len(steps), chance.choice((0, 1, 1, 2)))))
        steps.append(
            _declare(
                saga,
                service,
                f"s{number}",
                lane=chance.choice(lanes),
                after=after,
                batchable=batchable,
            )
        )
        ends = ends.difference(after) | {steps[-1]}
    if chance.random() < 0.5:
        stalls = chance.choice((None, "50s"))
        _declare(
            saga,
            service,
            "turn",
            lane=chance.choice(lanes),
            after=sorted(ends),
            pivot=True,
            heartbeat_timeout=stalls,
        )
        _declare(saga, service, "onward", lane=chance.choice(lanes), after=["turn"])
    return saga


def _declare(saga: Saga[Any], service: Participant, name: str, **more: Any) -> str:
    def act(ctx: Any, o: Any) -> Any:
        return service.act(ctx)

    def back(ctx: Any, o: Any, made: Any) -> None:
        service.act(ctx)

    act.__name__ = act.__qualname__ = name
    back.__name__ = back.__qualname__ = f"undo_{name}"
    step = saga.step(**more)(act)
    if name.startswith("s"):
        step.compensate(fidelity="exact")(back)
    return name


# --- two worlds ----------------------------------------------------------------------------------------------------
@contextmanager
def step_by_step() -> Iterator[None]:
    """No statement does more than one thing, and a worker looks before it claims."""
    with (
        mock.patch.object(postgres_fast_path, "serves", return_value=False),
        mock.patch.object(execute, "_claim_to_work", return_value=None),
    ):
        yield


@pytest.fixture(scope="module")
def worlds(postgres_server: PostgresServer) -> Iterator[tuple[World, World]]:
    """Two stores that are asked the same, with the same sagas: the one as it is, the other step by step."""
    names = [postgres_server.create_store() for _ in range(2)]
    service = Participant()
    sagas = [drawn(seed, service) for seed in range(SAGAS)]
    made = [World(postgres_server.url(name), sagas, service) for name in names]
    yield made[0], made[1]
    for world, name in zip(made, names, strict=True):
        world.db.dispose()
        postgres_server.drop_database(name)


def rows_of(world: World, job_id: str) -> Rows:
    """Everything on record of a job but ids, tokens and times; of a time whether it is there, and how far from its neighbour."""
    found: Rows = {}
    with reading(world.db) as connection:
        for table, order in TABLES.items():
            of = table.c.id if table is jobs else table.c.job_id
            rows = connection.execute(select(table).where(of == job_id).order_by(*order)).mappings()
            found[table.name] = [_plain(dict(row)) for row in rows]
    return found


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    if row.get("pending_dependencies"):
        row["state"] = (
            "waits for others"  # `queued` if a message before it carries it, else `pending`: nothing asks which
        )
    spans = {
        f"{a} to {b}": round((row[b] - row[a]).total_seconds())
        for a, b in SPANS
        if row.get(a) and row.get(b)
    }
    return {
        name: (value is not None if isinstance(value, datetime) or name in OWN else value)
        for name, value in row.items()
        if name != COUNTED
    } | spans


# --- what is done to both ------------------------------------------------------------------------------------------
class Errand:
    """One job in one world, driven by a number: the same number does the same to both."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.chance = world, random.Random(f"{seed} errand")
        world.runs_on = seed % 3 > 0
        world.broker.waiting.clear()
        key, tags = (new_id() if seed % 2 else None), ("x", "y", "x") if seed % 5 == 0 else ()
        deadline_s = 40.0 if seed % 7 == 0 else None
        asked = Submission(
            world.tenant,
            f"s{seed % SAGAS}",
            {"name": "x"},
            "test",
            key=key,
            tags=tags,
            deadline_s=deadline_s,
        )
        submitted = submit(world.db, world.settings, world.registry, asked)
        publish_plan(world.db, world.broker, submitted.plan)
        self.job = submitted.job_id
        self.seen: list[dict[str, Any]] = []

    def go_on(self) -> str:
        """One thing happens. Returns what, empty when the job has ended."""
        waiting = self.world.broker.waiting
        if self.world.state(self.job) in ("completed", "failed", "cancelled", "attention"):
            return ""
        if not waiting:
            self.world.let_pass(61)
            self.world.sweep()
            return "sweeps"
        parcel = waiting.pop(self.chance.randrange(len(waiting)))
        fate = self.chance.random()
        steps = [message.task.rpartition(".")[2] for message in (parcel.message, *parcel.rest)]
        script = self.world.service.script
        script.clear()
        self.seen.clear()
        if fate < 0.06:
            self._cancel()
        elif fate < 0.12:
            return f"{parcel.name} is lost"
        else:
            script[self.chance.choice(steps), "action"].append(
                self._trouble() if fate < 0.3 else self._look
            )
        told = self.world.deliver(parcel)
        if fate > 0.92:
            self.world.deliver(parcel)
        return f"{parcel.name}: {told.verdict} {self.seen}"

    def _cancel(self) -> None:
        try:
            self.world.cancel(self.job)
        except Conflict:
            pass

    def _trouble(self) -> Any:
        what: Callable[[], Any] = self.chance.choice(
            (
                lambda: Rejected("no"),
                lambda: RuntimeError("before"),
                lambda: after_effect(TimeoutError("after")),
                lambda: NotYet(5),
                lambda: self._sleep,
            )
        )
        return what()

    def _look(self, ctx: Any) -> None:
        """What is on record of a step while it runs."""
        self.seen.append(_plain(dict(self.world.operation(self.job, ctx.step)._mapping)))

    def _sleep(self, ctx: Any) -> str:
        self.world.let_pass(LEASE_S + 1)
        self.world.sweep()
        return "late"


@pytest.mark.parametrize("seed", range(JOBS))
def test_given_any_graph_and_any_deliveries_then_one_statement_leaves_the_rows_that_the_moves_leave(
    worlds: tuple[World, World], seed: int
) -> None:
    compare(*worlds, seed)


def differences(one: Rows, other: Rows) -> list[str]:
    """What the two say, each where they do not say the same."""
    found = [
        f"{table}: {len(one[table])} rows and {len(other[table])}"
        for table in one
        if len(one[table]) != len(other[table])
    ]
    for table in one:
        for ours, theirs in zip(one[table], other[table], strict=False):
            named = " ".join(
                str(ours[name]) for name in ("step", "kind", "event") if ours.get(name)
            )
            columns = [
                name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)
            ]
            found += [
                f"{table} {named}: {name} is {ours.get(name)!r} and {theirs.get(name)!r}"
                for name in columns
            ]
    return found


def compare(fast: World, slow: World, seed: int) -> None:
    """Do the same to both, and look at both after each thing. Raises: AssertionError where they differ."""
    with mock.patch.object(retries, "backoff", return_value=5.0):
        one = Errand(fast, seed)
        with step_by_step():
            other = Errand(slow, seed)
        told: list[str] = ["submitted"]
        while told[-1] and len(told) < ACTIONS:
            assert differences(rows_of(fast, one.job), rows_of(slow, other.job)) == [], told
            told.append(one.go_on())
            with step_by_step():
                assert other.go_on() == told[-1], told
        assert [p.name for p in fast.broker.waiting] == [p.name for p in slow.broker.waiting]
    assert fast.broken() == {}
