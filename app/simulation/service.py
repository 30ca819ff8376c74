"""A service with the real barrier, that answers as it is told to and writes down what truly
happened.

Its book is the truth that the engine's account is compared with: it is kept by step and kind, not
by the effect's key, so that a key which changes with the attempt shows as two effects.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select

from surefoot.app.participant.barrier import DONE, barrier, rows
from surefoot.app.rules.states import ENDED, Kind
from surefoot.app.saga.context import Context
from surefoot.app.saga.outcomes import (
    NEVER,
    UNKNOWN,
    Failed,
    Happened,
    NothingSent,
    NotYet,
    Probed,
    Rejected,
    RetryLater,
)
from surefoot.app.simulation.stage import Actor
from surefoot.app.simulation.store import SimStore


@dataclass(frozen=True)
class Effect:
    """Something that happened: `kind` of a step of a job, under a claim."""

    job_id: str
    step: str
    kind: str
    fence: int


Asked = tuple[str, str, str, int]  # an attempt: job, step, kind and fence


def _asked(actor: Actor | None, ctx: Context) -> Asked:
    """The attempt that asks.

    A replay belongs to the undo before which it is made: so does its fence.
    """
    kind = Kind.UNDO if _replays(actor, ctx) else ctx.kind
    return (ctx.job_id, ctx.step, kind, ctx.fence)


def _told(actor: Actor | None) -> str | None:
    """How the actor's next call is to be answered; once."""
    said = actor.says if actor is not None else None
    if actor is not None:
        actor.says = None
    return said


def _spared(actor: Actor | None, ctx: Context) -> bool:
    """Whether this is a replay before an undo, and what was told is meant for the undo: every other
    time.
    """
    return _replays(actor, ctx) and ctx.fence % 2 == 0


def _replays(actor: Actor | None, ctx: Context) -> bool:
    return actor is not None and ctx.kind == Kind.ACTION and actor.about.endswith(".undo")


@dataclass
class SimService:
    """One service for all steps.

    `book`: effects in the order they happened; `objections`: what can never be right.

    `exclusive`: all jobs name one record, so one of them is under way at a time.
    """

    store: SimStore
    exclusive: bool = False
    book: list[Effect] = field(default_factory=list)
    asked_to_undo: set[tuple[str, str]] = field(
        default_factory=set
    )  # (job, step), also those that had nothing to undo
    in_doubt: set[Asked] = field(default_factory=set)  # attempts whose question was not answered
    calls: Counter[str] = field(default_factory=Counter)
    objections: list[str] = field(default_factory=list)
    say: Callable[[Context], str | None] | None = (
        None  # how to answer, where the calling actor was not told
    )

    def act(self, ctx: Context, version: int = 1, *, bare: bool = False) -> Any:
        """An action, undo or confirmation, by the code of this version. `bare`: without a barrier."""
        actor = self.store.stage.current
        said = None if _spared(actor, ctx) else _told(actor)
        said = said or (self.say(ctx) if self.say else None) or "ok"
        if actor is not None:
            actor.fence = ctx.fence
        self.calls[said] += 1
        self._has_a_cause(ctx, version)
        if _asked(actor, ctx) in self.in_doubt:
            self.objections.append(
                f"{ctx.step} {ctx.kind} went on in doubt: its probe could not tell"
            )
        self._before(said, ctx)
        if said == "not_yet":
            return NotYet(after=5)
        if said == "check":
            ctx.checkpoint({"fence": ctx.fence})
            ctx.check()
        if bare:
            result = f"{ctx.step} {ctx.kind}"
            self._write(Effect(ctx.job_id, ctx.step, ctx.kind, ctx.fence))
        else:
            result = self._once(ctx)
        self.store.stage.point("effect/done")
        if said == "lose":
            raise TimeoutError("the answer was lost")
        if said == "fail":
            raise Failed("it cannot be done", result=result)
        return result

    def _once(self, ctx: Context) -> Any:
        with self.store.engine.begin() as tx, barrier(tx, ctx) as first:
            if first:
                first.keep(f"{ctx.step} {ctx.kind}")
            result = first.result
        if ctx.kind == Kind.UNDO:
            self.asked_to_undo.add((ctx.job_id, ctx.step))
        if first:
            self._write(Effect(ctx.job_id, ctx.step, ctx.kind, ctx.fence))
        return result

    def find(self, ctx: Context) -> Probed:
        """A probe."""
        actor = self.store.stage.current
        if actor is not None and actor.says == "lose":
            actor.says = None
            self.in_doubt.add(_asked(actor, ctx))
            return UNKNOWN
        with self.store.engine.connect() as connection:
            row = connection.execute(
                select(rows.c.outcome, rows.c.result).where(rows.c.key == ctx.action_key)
            ).one_or_none()
        return Happened(row.result) if row is not None and row.outcome == DONE else NEVER

    def by_hand(self, ctx: Context) -> None:
        """A person does it (or voids it, by its undo), under the same key."""
        with self.store.engine.begin() as tx, barrier(tx, ctx) as first:
            pass
        if ctx.kind == Kind.UNDO:
            self.asked_to_undo.add((ctx.job_id, ctx.step))
        if first:
            self._write(Effect(ctx.job_id, ctx.step, ctx.kind, ctx.fence))

    def of(self, job_id: str, kind: str) -> list[str]:
        """The steps of a job that had an effect of this kind, in the order it happened."""
        return [
            effect.step for effect in self.book if effect.job_id == job_id and effect.kind == kind
        ]

    # --- how --------------------------------------------------------------------------------------
    @staticmethod
    def _before(said: str, ctx: Context) -> None:
        match said:
            case "refuse":
                raise Rejected("the service says no")
            case "break":
                raise RuntimeError("something broke before anything happened")
            case "unsent":
                raise NothingSent("no connection")
            case "later":
                raise RetryLater(3, "come again")

    def _write(self, effect: Effect) -> None:
        name = f"{effect.step} {effect.kind}"
        same = [e for e in self.book if (e.job_id, e.step) == (effect.job_id, effect.step)]
        if any(e.kind == effect.kind for e in same):
            self.objections.append(f"{name} took effect twice")
        if effect.kind == Kind.ACTION and (effect.job_id, effect.step) in self.asked_to_undo:
            self.objections.append(f"{name} took effect after it was undone")
        if effect.kind == Kind.UNDO and not any(e.kind == Kind.ACTION for e in same):
            self.objections.append(f"{name} undid what never was")
        if self.exclusive and effect.kind == Kind.ACTION:
            self._alone(effect)
        self.book.append(effect)

    def _alone(self, effect: Effect) -> None:
        """Every other job that has done something is over, unless this one is: a worker that slept
        may do what has no undo.
        """
        if not self._moves(effect.job_id):
            return
        for job_id in {e.job_id for e in self.book} - {effect.job_id}:
            if self._moves(job_id):
                self.objections.append(
                    f"{effect.step} took effect while another job had the same lock"
                )

    def _moves(self, job_id: str) -> bool:
        state: str = self.store.ask("SELECT state FROM surefoot_jobs WHERE id = ?", job_id)[0][0]
        return state not in ENDED

    def _has_a_cause(self, ctx: Context, version: int) -> None:
        """What is asked of a service must have been put on record before: the job, the claim, the
        attempt.
        """
        found = self.store.ask(
            "SELECT o.started, o.attempts, j.version"
            " FROM surefoot_operations o JOIN surefoot_jobs j ON j.id = o.job_id"
            " WHERE o.job_id = ? AND o.step = ? AND o.kind = ? AND o.item = ?",
            ctx.job_id,
            ctx.step,
            ctx.kind,
            ctx.item,
        )
        row = found[0] if found else None
        name = f"{ctx.step} {ctx.kind}"
        if row is None:
            self.objections.append(f"{name} was asked for, and no such operation is on record")
        elif not row[0] or row[1] < 1:
            self.objections.append(f"{name} was asked for before its attempt was counted")
        elif row[2] != version:
            self.objections.append(
                f"{name} of a job of version {row[2]} was done by the code of version {version}"
            )
