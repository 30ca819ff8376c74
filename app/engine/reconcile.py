"""Reconciliation: the account of effects, compared with what each service says (`@saga.effects`).

A patrol through the jobs by id, so many at a time. Jobs under way are passed over: their account changes while the service is
asked. An account is read before and after the question, and only one that stayed the same is compared. What was found before
is asked about again each time, and closes when both agree.

Readers are the saga's code. So this runs where that is: in a process of its own, started by a worker, or by a person.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import structlog
from sqlalchemy import Connection, Engine

from app.config import Settings
from app.engine.agreement import disagreement
from app.engine.move import Move
from app.errors import NotFound
from app.participant import EffectState, Seen, only_seen
from app.rules.states import ENDED, JobState
from app.saga.definition import Saga
from app.saga.naming import effect_key, parse_effect_key
from app.saga.registry import Registry
from app.store import queries, reconciliations
from app.store.ids import first_id_since
from app.store.reconciliations import EFFECTS
from app.store.session import reading, transaction
from app.store.types import AnyRow
from app.store.views.effects import Effect, effects_of

log = structlog.get_logger("surefoot.reconcile")
ORPHAN, UNASKABLE = "orphan", "unaskable"
AGREED = "both agree again"
MESSAGE_CHARS = 500
END = ";"  # the character after the colon: behind every key of the job before it


@dataclass
class Compared:
    """What a look at some jobs brought. `position`: where to go on, "" at the end; `closed`: findings that agree now."""

    looked_at: int = 0
    found: list[dict[str, Any]] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    position: str = ""

    def add(self, other: Compared) -> None:
        self.looked_at += other.looked_at
        self.found += [one for one in other.found if one not in self.found]
        self.closed += [one for one in other.closed if one not in self.closed]
        self.position = other.position


def patrol(db: Engine, settings: Settings, registry: Registry, actor: str, *, dry_run: bool = False) -> Compared:
    """The next SUREFOOT_RECONCILE_ROWS jobs, from where the last patrol stopped."""
    with reading(db) as connection:
        position = reconciliations.position_of(connection, EFFECTS)
    done = look(db, settings, registry, actor, position, dry_run=dry_run)
    if not dry_run:
        transaction(db, lambda tx: reconciliations.go_on_at(tx, EFFECTS, position, done.position))
    return done


def whole_window(db: Engine, settings: Settings, registry: Registry, actor: str, *, dry_run: bool = False) -> Compared:
    """Every job that was accepted in the last SUREFOOT_RECONCILE_WINDOW_SECONDS. Where the patrol stands is not changed."""
    done = look(db, settings, registry, actor, "", dry_run=dry_run)
    while done.position:
        done.add(look(db, settings, registry, actor, done.position, again=False, dry_run=dry_run))
    return done


def look(
    db: Engine, settings: Settings, registry: Registry, actor: str, position: str, *, again: bool = True, dry_run: bool = False
) -> Compared:
    """SUREFOOT_RECONCILE_ROWS jobs after `position` ("": from the window's beginning); with `again` also what was found before.

    Raises: what the store does. What a reader raises is a finding.
    """
    asking = _Asking(registry, settings.reconcile_keys)
    with reading(db) as connection:
        since = max(position, first_id_since(connection, settings.reconcile_window_seconds))
        page = reconciliations.page_of_jobs(connection, since, settings.reconcile_rows)
        before = reconciliations.asked_about(connection, settings.reconcile_rows) if again else []
        known = {row.id for row in page}
        more = reconciliations.jobs_of(connection, {row.job_id for row in before if row.job_id is not None} - known)
        candidates = [row for row in (*page, *more) if row.state in ENDED or row.state == JobState.ATTENTION]
        accounts = effects_of(connection, [row.id for row in candidates])
    at_end = len(page) < settings.reconcile_rows
    wrong = asking.compare(candidates, accounts)
    strays = asking.strays({row.saga for row in page}, since + END, ("g" if at_end else page[-1].id) + END)
    old_strays = [row for row in before if row.finding == ORPHAN]
    still = asking.ask_again(old_strays)
    with reading(db) as connection:
        same = effects_of(connection, list({row.id for row in candidates}))
        unknown = reconciliations.unknown_jobs(connection, {one["key"] for one in (*strays, *still)})
        present = reconciliations.open_of_jobs(connection, [row.id for row in candidates])
        home = queries.default_tenant_in(connection)
    steady = {job_id for job_id, account in accounts.items() if same.get(job_id) == account}
    found = [one for one in wrong if one["job_id"] in steady]
    found += [one for one in (*strays, *still) if one["key"] in unknown] + asking.failures
    agreed = [
        row
        for row in _once((*present, *old_strays, *(row for row in before if row.finding == UNASKABLE)))
        if asking.answered(row) and (row.job_id in steady or row.job_id is None) and not _among(row, found)
    ]
    done = Compared(len(page), [], [row.id for row in agreed], "" if at_end else page[-1].id)
    if dry_run:
        done.found = found
        return done
    done.found = _record(db, found, {row.id: row.tenant_id for row in candidates}, home, actor)
    for row in agreed:
        close(db, row.id, actor, AGREED)
    if done.found or agreed:
        log.info("reconciled", looked_at=done.looked_at, found=len(done.found), closed=len(agreed))
    return done


def close(db: Engine, finding_id: str, actor: str, why: str) -> bool:
    """Close a finding; the history of its job says who and why. False: it is closed already."""

    def work(tx: Connection) -> bool:
        before = reconciliations.one(tx, finding_id)
        move = _move_of(tx, before.job_id if before is not None else None)
        row = reconciliations.close(tx, finding_id, actor=actor, why=why)
        if row is not None and move is not None:
            move.record("finding_closed", actor=actor, finding=row.finding, key=row.key, why=why)
            move.close()
        return row is not None

    return transaction(db, work)


def _record(db: Engine, found: Sequence[dict[str, Any]], tenants: Mapping[str, str], home: str | None, actor: str) -> list[dict[str, Any]]:
    """Open these findings, those of a job together. Returns those that are new."""
    by_job: dict[str | None, list[dict[str, Any]]] = defaultdict(list)
    for one in found:
        by_job[one["job_id"]].append(one)

    def work(tx: Connection, job_id: str | None, group: list[dict[str, Any]]) -> list[dict[str, Any]]:
        move = _move_of(tx, job_id)
        tenant = tenants.get(job_id, home) if job_id is not None else home
        new = [one for one in group if reconciliations.note(tx, one | {"tenant_id": tenant, "actor": actor})]
        if move is not None and new:
            for one in new:
                move.record("finding", actor=actor, finding=one["finding"], service=one["service"], key=one["key"], action=one["action"])
            move.close()
        return new

    return [one for job_id, group in by_job.items() for one in transaction(db, lambda tx, j=job_id, g=group: work(tx, j, g))]  # type: ignore[misc]


def _move_of(tx: Connection, job_id: str | None) -> Move | None:
    try:
        return Move(tx, job_id) if job_id is not None else None
    except NotFound:
        return None


def _once(rows: Iterable[AnyRow]) -> list[AnyRow]:
    return list({row.id: row for row in rows}.values())


def _among(row: AnyRow, found: Iterable[dict[str, Any]]) -> bool:
    return any((row.finding, row.key, row.service) == (one["finding"], one["key"], one["service"]) for one in found)


class _Asking:
    """The services, asked. What cannot be asked is remembered as a finding."""

    def __init__(self, registry: Registry, most: int) -> None:
        self._registry, self._most = registry, most
        self._failed: dict[tuple[str, str], dict[str, Any]] = {}
        self._asked: set[tuple[str, str]] = set()

    @property
    def failures(self) -> list[dict[str, Any]]:
        return list(self._failed.values())

    def answered(self, row: AnyRow) -> bool:
        """Whether the service of this finding was asked, and answered whatever it was asked."""
        return (row.saga, row.service) in self._asked and (row.saga, row.service) not in self._failed

    def compare(self, rows: Sequence[AnyRow], accounts: Mapping[str, Sequence[Effect]]) -> list[dict[str, Any]]:
        """What the services say otherwise of these jobs' effects."""
        of_saga: dict[Saga[Any], list[AnyRow]] = defaultdict(list)
        for row in rows:
            saga = self._registry.by_digest(row.saga, row.digest) or self._registry.get(row.saga)
            if saga is not None:
                of_saga[saga].append(row)
        found = []
        for saga, group in of_saga.items():
            for service in saga.effect_readers:
                own = saga.steps_of(service)
                effects = {
                    effect_key(row.id, effect.step, effect.item, "action"): (row.id, effect)
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
                        found.append(_finding(wrong, saga.name, service, key, seen, _account(effect), job_id=job_id))
        return found

    def strays(self, sagas: Container[str], first: str, last: str) -> list[dict[str, Any]]:
        """What the services of these sagas list between these keys and say is standing. A saga without jobs may have no services."""
        found = []
        for saga in self._registry.all():
            if saga.name not in sagas:
                continue
            for service, listed in saga.effect_lists.items():
                seen = self._call(saga, service, lambda listed=listed: listed(first, last), self._most * 100)  # type: ignore[misc]
                found += [_stray(saga.name, service, one) for one in seen or () if _stands(one) and first < one.key < last]
        return found

    def ask_again(self, rows: Sequence[AnyRow]) -> list[dict[str, Any]]:
        """Those of these orphans that are still standing."""
        found = []
        for row in rows:
            saga = self._registry.get(row.saga)
            if saga is not None and row.service in saga.effect_readers:
                seen = self._ask(saga, row.service, [row.key]).get(row.key)
                found += [_stray(saga.name, row.service, seen)] if seen is not None and _stands(seen) else []
        return found

    def _ask(self, saga: Saga[Any], service: str, keys: Sequence[str]) -> dict[str, Seen | None]:
        """key -> what the service said, None where it did not mention it. Keys of a question that failed are left out."""
        said: dict[str, Seen | None] = {}
        for some in (keys[n : n + self._most] for n in range(0, len(keys), self._most)):
            seen = self._call(saga, service, lambda some=some: saga.effect_readers[service](list(some)), len(some) * 10)  # type: ignore[misc]
            if seen is not None:
                said |= dict.fromkeys(some)
                said |= {one.key: one for one in seen}
        return said

    def _call(self, saga: Saga[Any], service: str, ask: Callable[[], Iterable[Any]], most: int) -> list[Seen] | None:
        """A developer's code: whatever it does wrong is a finding. None: it could not be asked."""
        self._asked.add((saga.name, service))
        try:
            return list(only_seen(islice(ask() or (), most)))
        except Exception as error:
            message = f"{type(error).__name__}: {error}"[:MESSAGE_CHARS]
            log.warning("service_not_asked", saga=saga.name, service=service, error=message)
            self._failed[saga.name, service] = _finding(UNASKABLE, saga.name, service, f"{saga.name}:{service}", None, {"error": message})
            return None


def _stands(seen: Seen) -> bool:
    return seen.state == EffectState.DONE


def _account(effect: Effect) -> dict[str, Any]:
    return {"here": {"outcome": effect.outcome, "undo": effect.undo_state}}


def _stray(saga: str, service: str, seen: Seen) -> dict[str, Any]:
    return _finding(ORPHAN, saga, service, seen.key, seen, {})


def _finding(
    finding: str, saga: str, service: str, key: str, seen: Seen | None, detail: dict[str, Any], *, job_id: str | None = None
) -> dict[str, Any]:
    parsed = parse_effect_key(key)
    there = {"there": {"state": str(seen.state) if seen is not None else None}} if finding != UNASKABLE else {}
    return {
        "job_id": job_id,
        "saga": saga,
        "step": parsed.step if parsed is not None else "",
        "item": parsed.item if parsed is not None else "",
        "service": service,
        "key": key[:255],
        "finding": finding,
        "action": "asked",
        "detail": detail | there,
    }
