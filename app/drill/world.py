"""The world as an invariant sees it: the job, its account of effects, what each service says, and
what the test environment yielded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import Engine

from surefoot.app.errors import SurefootError
from surefoot.app.participant import EffectReport, EffectState, only_reports
from surefoot.app.rules.states import Kind
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.naming import effect_key
from surefoot.app.store import job_reads
from surefoot.app.store.rows.jobs import JobRow
from surefoot.app.store.session import reading
from surefoot.app.store.views import effects_view, job_view


@dataclass(frozen=True)
class Effect:
    """One effect by the engine's account.

    `outcome`: none, done, unknown; `undo`: not_needed, pending, done, refused, waived.
    """

    step: str
    key: str
    outcome: str
    undo: str
    fidelity: str | None


class ReaderFailed(SurefootError):
    """A reader of a service's effects failed."""


class World:
    """`own`: what the saga's test environment yielded, None outside of a drill.

    Everything is read once, when first asked for.
    """

    def __init__(self, db: Engine, saga: Saga[Any], job_id: str, own: Any = None) -> None:
        self._db, self._saga, self._job_id, self.own = db, saga, job_id, own
        self._said: dict[str, tuple[EffectReport, ...]] = {}

    @cached_property
    def job(self) -> JobRow:
        """The job's row: `id`, `state`, `cause`, `reason`, `input` (JSON), …"""
        with reading(self._db) as connection:
            return job_reads.job(connection, self._job_id)

    @cached_property
    def effects(self) -> tuple[Effect, ...]:
        """The engine's account, in graph order."""
        items = effects_view(self._db, self._job_id, None)["items"]
        return tuple(
            Effect(i["step"], i["key"], i["outcome"], i["undo"]["state"], i["fidelity"])
            for i in items
        )

    @cached_property
    def view(self) -> Mapping[str, Any]:
        """The job as GET shows it."""
        return job_view(self._db, self._job_id, None)

    def service(self, name: str) -> tuple[EffectReport, ...]:
        """What a service says of this job's effects: its reader's answers (`@saga.effect_reader`).

        Raises: KeyError; ReaderFailed.
        """
        if name not in self._said:
            reader = self._saga.effect_readers[name]
            keys = [
                effect_key(self._job_id, node.name, "", Kind.ACTION)
                for node in self._saga.graph.nodes
                if node.effectful
            ]
            try:
                self._said[name] = tuple(only_reports(reader(keys)))
            except Exception as error:  # a developer's code: its mistake is a finding, not our end
                raise ReaderFailed(
                    f"the reader of {name!r} could not be asked: {type(error).__name__}: {error}"
                ) from error
        return self._said[name]

    def services(self) -> dict[str, str]:
        """Each service in a word or two: done, undone, none, unknown, or several of them;
        unreachable when its reader fails.
        """
        return {
            name: _word(self.service(name)) if self._answers(name) else "unreachable"
            for name in self._saga.effect_readers
        }

    def everything_seen(self) -> Iterator[EffectReport]:
        """What all services say that can be asked."""
        for name in filter(self._answers, self._saga.effect_readers):
            yield from self.service(name)

    def _answers(self, name: str) -> bool:
        try:
            self.service(name)
        except ReaderFailed:
            return False
        return True


def _word(seen: tuple[EffectReport, ...]) -> str:
    states = {one.state for one in seen} - {EffectState.NONE}
    return ", ".join(sorted(str(state) for state in states)) or str(EffectState.NONE)
