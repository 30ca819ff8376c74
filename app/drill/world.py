"""The world as an invariant sees it: the job, its account of effects, what each service says, and what the drill world yielded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import Engine, select

from app.participant import EffectState, Seen
from app.saga.definition import Saga
from app.saga.naming import effect_key
from app.store.session import reading
from app.store.tables import jobs
from app.store.types import AnyRow
from app.store.views import effects_view, job_view


@dataclass(frozen=True)
class Effect:
    """One effect by the engine's account. `outcome`: none, done, unknown; `undo`: not_needed, pending, done, refused, waived."""

    step: str
    key: str
    outcome: str
    undo: str
    fidelity: str | None


class World:
    """`own`: what the saga's drill world yielded, None outside of a drill. Everything is read once, when first asked for."""

    def __init__(self, db: Engine, saga: Saga[Any], job_id: str, own: Any = None) -> None:
        self._db, self._saga, self._job_id, self.own = db, saga, job_id, own
        self._said: dict[str, tuple[Seen, ...]] = {}

    @cached_property
    def job(self) -> AnyRow:
        """The job's row: `id`, `state`, `cause`, `reason`, `input` (JSON), …"""
        with reading(self._db) as connection:
            return connection.execute(select(jobs).where(jobs.c.id == self._job_id)).one()

    @cached_property
    def effects(self) -> tuple[Effect, ...]:
        """The engine's account, in graph order."""
        items = effects_view(self._db, self._job_id, None)["items"]
        return tuple(Effect(i["step"], i["key"], i["outcome"], i["undo"]["state"], i["fidelity"]) for i in items)

    @cached_property
    def view(self) -> Mapping[str, Any]:
        """The job as GET shows it."""
        return job_view(self._db, self._job_id, None)

    def service(self, name: str) -> tuple[Seen, ...]:
        """What a service says of this job's effects: its reader's answers (`@saga.effects`). Raises: KeyError; what the reader does."""
        if name not in self._said:
            keys = [effect_key(self._job_id, node.name, "", "action") for node in self._saga.graph.nodes if node.effectful]
            self._said[name] = tuple(self._saga.effect_readers[name](keys))
        return self._said[name]

    def services(self) -> dict[str, str]:
        """Each service in a word or two: done, undone, none, unknown, or several of them."""
        return {name: _word(self.service(name)) for name in self._saga.effect_readers}


def _word(seen: tuple[Seen, ...]) -> str:
    states = {one.state for one in seen} - {EffectState.NONE}
    return ", ".join(sorted(str(state) for state in states)) or str(EffectState.NONE)
