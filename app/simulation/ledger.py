"""Effects that a store and a service tell differently, and what reconciliation says of them.

A stray is an effect of a job that this store has lost; a drift is one that somebody has taken back
behind our back. Each must be told once while it stands, until a person has adopted it, and what
agrees must not be told at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select, update

from surefoot.app.participant.barrier import DONE, UNDONE, barrier, rows
from surefoot.app.participant.effects import (
    EffectReport,
    effects_in_barrier,
    effects_in_barrier_between,
)
from surefoot.app.rules.findings import Finding, FindingAction
from surefoot.app.rules.states import JobState, Kind, OpState
from surefoot.app.saga.context import Context
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.naming import effect_key
from surefoot.app.simulation.sagas import StepPlan
from surefoot.app.simulation.store import SimStore
from surefoot.app.simulation.world import World
from surefoot.app.store.tables import jobs, operations, reconciliations

SERVICE = "things"
r = reconciliations.c


@dataclass
class Ledger:
    """What differs.

    `strays`, `drifted`: keys; `taken_back`: how often each was undone without its job.
    """

    store: SimStore
    strays: list[str] = field(default_factory=list)
    drifted: list[str] = field(default_factory=list)
    taken_back: Counter[str] = field(default_factory=Counter)
    objections: list[str] = field(default_factory=list)
    _own: list[str] = field(
        default_factory=list, repr=False
    )  # steps that the service is asked about

    # --- the service's side -----------------------------------------------------------------------
    def declare(self, saga: Saga[Any], plans: Sequence[StepPlan]) -> None:
        """The saga says how its service is asked, and how an effect without its job is taken back."""
        own = self._own = [plan.name for plan in plans if plan.on_books]
        if not own:
            return

        def seen(keys: Iterable[str]) -> list[EffectReport]:
            with self.store.engine.connect() as connection:
                return effects_in_barrier(connection, keys)

        def between(first: str, last: str) -> list[EffectReport]:
            with self.store.engine.connect() as connection:
                return effects_in_barrier_between(connection, first, last)

        saga.effect_reader(SERVICE, steps=own)(seen)
        saga.effect_lister(SERVICE)(between)
        saga.undo_effect(SERVICE)(self._take_back)

    def _take_back(self, ctx: Any, _report: EffectReport) -> None:
        self.store.stage.point("effect/before")
        with self.store.engine.begin() as tx, barrier(tx, ctx) as first:
            self.taken_back[ctx.action_key] += bool(first)
        if ctx.action_key in self._adopted():
            self.objections.append(f"{ctx.step} was adopted by a person, and undone")
        if self.taken_back[ctx.action_key] > 1:
            self.objections.append(f"{ctx.step} was taken back twice")
        self.store.stage.point("effect/done")

    # --- the saboteur's side ----------------------------------------------------------------------
    def stray(self, saga: str, step: str) -> None:
        """A job was lost that had done this step."""
        ctx = Context(self.store.host.new_id(), saga, step, "", Kind.ACTION)
        with self.store.engine.begin() as tx, barrier(tx, ctx):
            pass
        self.strays.append(ctx.key)

    def drift(self, which: int) -> str:
        """Somebody takes back what a job that completed has done.

        Returns the step, empty when there is none.
        """
        done = (
            select(operations.c.job_id, operations.c.step)
            .join(jobs, jobs.c.id == operations.c.job_id)
            .where(jobs.c.state == JobState.COMPLETED, operations.c.kind == Kind.ACTION)
            .where(operations.c.state == OpState.COMPLETED, operations.c.effectful)
            .where(operations.c.step.in_(self._own))
            .order_by(operations.c.id)
        )
        with self.store.engine.begin() as tx:
            keys = [
                (effect_key(row.job_id, row.step, "", Kind.ACTION), row.step)
                for row in tx.execute(done)
            ]
            fresh = [one for one in keys if one[0] not in self.drifted]
            if not fresh:
                return ""
            key: str = fresh[which % len(fresh)][0]
            step: str = fresh[which % len(fresh)][1]
            tx.execute(update(rows).where(rows.c.key == key).values(outcome=UNDONE))
        self.drifted.append(key)
        return step

    # --- the truth --------------------------------------------------------------------------------
    def violations(self, world: World) -> Iterator[str]:
        """What reconciliation says that is not so, or does not say, when nothing fails any more."""
        for _ in range(2):
            world.people.look()
        told, adopted = self._told(), self._adopted()
        with self.store.engine.connect() as connection:
            standing = set(connection.scalars(select(rows.c.key).where(rows.c.outcome == DONE)))
        expected = ({key for key in self.strays if key in standing} | set(self.drifted)) - adopted
        for key in sorted(expected - told.keys()):
            yield f"{key} stands differently here and there, and reconciliation does not tell"
        for key in sorted(told.keys() - expected):
            yield f"{key} is told by reconciliation, although it agrees or was adopted"
        yield from (f"{key} is told {count} times" for key, count in told.items() if count > 1)
        for key in sorted(self._ever_told() - {*self.strays, *self.drifted}):
            yield f"{key} was told once, although nothing was wrong with it"
        for key in sorted(self._decided(FindingAction.UNDO)):
            yield f"{key} was to be taken back, and nothing failed, and it stands"
        for key in sorted(self._decided(FindingAction.ADOPTED)):
            yield f"{key} was to be taken back by one, and adopted by another"
        for key in sorted(set(self.strays) - standing):
            if self.taken_back[key] != 1:
                yield f"{key} was taken back {self.taken_back[key]} times"

    def _told(self) -> Counter[str]:
        with self.store.engine.connect() as connection:
            open_ones = select(r.key).where(r.closed_at.is_(None), r.finding != Finding.LATE)
            return Counter(connection.scalars(open_ones))

    def _ever_told(self) -> set[str]:
        with self.store.engine.connect() as connection:
            about = r.finding.not_in((Finding.LATE, Finding.UNASKABLE))
            return set(connection.scalars(select(r.key).where(about)))

    def _decided(self, action: str) -> set[str]:
        """Keys that a person wanted undone, as their findings say."""
        with self.store.engine.connect() as connection:
            asked = select(r.key, r.detail, r.closed_at).where(r.action == action)
            found = [row for row in connection.execute(asked) if "decided" in (row.detail or {})]
        return {row.key for row in found if action != FindingAction.UNDO or row.closed_at is None}

    def _adopted(self) -> set[str]:
        with self.store.engine.connect() as connection:
            return set(connection.scalars(select(r.key).where(r.action == FindingAction.ADOPTED)))
