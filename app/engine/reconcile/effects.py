"""Asking the services about effects: what they say of our effects, and which effects have no job.

Readers are a developer's code: whatever one raises is a finding of its own, and stops no other
question.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import structlog

from surefoot.app.engine.reconcile.compare import disagreement
from surefoot.app.logs import hidden
from surefoot.app.participant import EffectReport, EffectState, only_reports
from surefoot.app.rules.findings import Finding, FindingAction
from surefoot.app.rules.states import Kind
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.naming import effect_key, parse_effect_key
from surefoot.app.saga.registry import Registry
from surefoot.app.store.rows.findings import FindingRow
from surefoot.app.store.rows.jobs import ReconciledJobRow
from surefoot.app.store.views.effects import Effect

log = structlog.get_logger("surefoot.reconcile")
MESSAGE_CHARS = 500


class Asking:
    """The services, asked. What cannot be asked is remembered as a finding.

    `most`: keys of one question; `expected`: sagas whose services must answer (None: all). A saga
    whose code is installed and that nobody uses may have no services.
    """

    def __init__(
        self, registry: Registry, most: int, expected: Collection[str] | None = None
    ) -> None:
        self._registry, self._most, self._expected = registry, most, expected
        self._failed: dict[tuple[str, str], dict[str, Any]] = {}
        self._asked: set[tuple[str, str]] = set()
        self._asked_again: set[tuple[str, str]] = set()

    @property
    def failures(self) -> list[dict[str, Any]]:
        return [
            one
            for one in self._failed.values()
            if self._expected is None or one["saga"] in self._expected
        ]

    def answered(self, row: FindingRow) -> bool:
        """Whether the service of this finding was asked about it, and answered whatever it was
        asked.
        """
        if row.finding == Finding.ORPHAN and (row.key, row.service) not in self._asked_again:
            return False
        return (row.saga, row.service) in self._asked and (
            row.saga,
            row.service,
        ) not in self._failed

    def compare(
        self, rows: Sequence[ReconciledJobRow], accounts: Mapping[str, Sequence[Effect]]
    ) -> list[dict[str, Any]]:
        """What the services say otherwise of these jobs' effects."""
        of_saga: dict[Saga[Any], list[ReconciledJobRow]] = defaultdict(list)
        for row in rows:
            saga = self._registry.by_digest(row.saga, row.digest) or self._registry.get(row.saga)
            if saga is not None:
                of_saga[saga].append(row)
        found = []
        for saga, group in of_saga.items():
            for service in saga.effect_readers:
                own = saga.steps_of(service)
                effects = {
                    effect_key(row.id, effect.step, effect.item, Kind.ACTION): (row.id, effect)
                    for row in group
                    for effect in accounts[row.id]
                    if not own or effect.step in own
                }
                said = self._ask(saga, service, list(effects))
                for key in said.keys() & effects.keys():
                    job_id, effect = effects[key]
                    seen = said[key]
                    wrong = disagreement(effect, seen, knows=bool(own))
                    if wrong is not None:
                        found.append(
                            _finding(
                                wrong,
                                _About(saga.name, service, key, job_id),
                                seen,
                                _account(effect),
                            )
                        )
        return found

    def strays(self, first: str, last: str) -> list[dict[str, Any]]:
        """What the services of every saga list between these keys and say is standing."""
        found = []
        for saga in self._registry.all():
            for service in saga.effect_listers:
                found += [
                    self._stray(saga, service, one)
                    for one in self._listed(saga, service, first, last)
                    if _stands(one)
                ]
        return found

    def _listed(
        self, saga: Saga[Any], service: str, first: str, last: str
    ) -> Iterator[EffectReport]:
        """All of a list: it may give a part, and is asked again from there on."""
        while True:
            seen = self._call(
                saga,
                service,
                lambda first=first: saga.effect_listers[service](first, last),  # type: ignore[misc]
                self._most * 100,
            )
            fresh = [one for one in seen or () if first < one.key < last]
            yield from fresh
            if not fresh:
                return
            first = max(one.key for one in fresh)

    def ask_again(self, rows: Sequence[FindingRow]) -> list[dict[str, Any]]:
        """Those of these orphans that are still standing."""
        of_reader: dict[tuple[Saga[Any], str], list[str]] = defaultdict(list)
        for row in rows:
            saga = self._registry.get(row.saga)
            if saga is not None and row.service in saga.effect_readers:
                of_reader[saga, row.service].append(row.key)
        found = []
        for (saga, service), keys in of_reader.items():
            self._asked_again |= {(key, service) for key in keys}
            said = self._ask(saga, service, keys)
            found += [
                self._stray(saga, service, seen)
                for seen in said.values()
                if seen is not None and _stands(seen)
            ]
        return found

    def _stray(self, saga: Saga[Any], service: str, report: EffectReport) -> dict[str, Any]:
        """The orphan, under the saga that has such a step: services are shared, and a key names no
        saga.
        """
        parsed = parse_effect_key(report.key)
        if parsed is not None and parsed.step not in saga.graph.by_name:
            others = (
                s
                for s in self._registry.all()
                if parsed.step in s.graph.by_name and service in s.effect_readers
            )
            saga = next(others, saga)
        return _finding(Finding.ORPHAN, _About(saga.name, service, report.key), report, {})

    def _ask(
        self, saga: Saga[Any], service: str, keys: Sequence[str]
    ) -> dict[str, EffectReport | None]:
        """key -> what the service said, None where it did not mention it.

        Keys of a question that failed are left out.
        """
        said: dict[str, EffectReport | None] = {}
        for some in (keys[n : n + self._most] for n in range(0, len(keys), self._most)):
            seen = self._call(
                saga,
                service,
                lambda some=some: saga.effect_readers[service](list(some)),  # type: ignore[misc]
                len(some) * 10,
            )
            if seen is not None:
                said |= dict.fromkeys(some)
                said |= {one.key: one for one in seen}
        return said

    def _call(
        self, saga: Saga[Any], service: str, ask: Callable[[], Iterable[Any]], most: int
    ) -> list[EffectReport] | None:
        """A developer's code: whatever it does wrong is a finding. None: it could not be asked."""
        self._asked.add((saga.name, service))
        try:
            return list(only_reports(islice(ask() or (), most)))
        except Exception as error:
            message = hidden(f"{type(error).__name__}: {error}")[:MESSAGE_CHARS]
            if self._expected is None or saga.name in self._expected:
                log.warning("service_not_asked", saga=saga.name, service=service, error=message)
            self._failed[saga.name, service] = _finding(
                Finding.UNASKABLE,
                _About(saga.name, service, f"{saga.name}:{service}"),
                None,
                {"error": message},
            )
            return None


def _stands(report: EffectReport) -> bool:
    return report.state == EffectState.DONE


def _account(effect: Effect) -> dict[str, Any]:
    return {"here": {"outcome": effect.outcome, "undo": effect.undo_state}}


class _About(NamedTuple):
    """The effect that a finding is about. `job_id`: its job, if that is here."""

    saga: str
    service: str
    key: str
    job_id: str | None = None


def _finding(
    finding: str, about: _About, seen: EffectReport | None, detail: dict[str, Any]
) -> dict[str, Any]:
    parsed = parse_effect_key(about.key)
    there = (
        {"there": {"state": str(seen.state) if seen is not None else None}}
        if finding != Finding.UNASKABLE
        else {}
    )
    return {
        "job_id": about.job_id,
        "saga": about.saga,
        "step": parsed.step if parsed is not None else "",
        "item": parsed.item if parsed is not None else "",
        "service": about.service,
        "key": about.key[:255],
        "finding": finding,
        "action": FindingAction.REPORTED,
        "detail": detail | there,
    }
