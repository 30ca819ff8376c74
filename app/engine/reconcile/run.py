"""Reconciliation: the account of effects, compared with what each service says
(`@saga.effect_reader`).

A patrol through the jobs by id, so many at a time. Jobs under way are passed over: their account
changes while the service is asked. An account is read before and after the question, and only one
that stayed the same is compared. What was found before is asked about again each time, and closes
when both agree.

Readers are the saga's code. So this runs where that is: in a process of its own, started by a
worker, or by a person.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import structlog
from sqlalchemy import Engine

from surefoot.app.config import Settings
from surefoot.app.engine.reconcile import findings
from surefoot.app.engine.reconcile.effects import Asking
from surefoot.app.rules.findings import Finding
from surefoot.app.rules.states import ENDED, JobState
from surefoot.app.saga.registry import Registry
from surefoot.app.store import reconciliations, tenants
from surefoot.app.store.ids import first_id_since
from surefoot.app.store.reconciliations import EFFECTS
from surefoot.app.store.session import reading, transaction
from surefoot.app.store.views.effects import effects_of

log = structlog.get_logger("surefoot.reconcile")
AGREED = "both agree again"
END = ";"  # the character after the colon: behind every key of the job before it


@dataclass
class ReconcileResult:
    """What a look at some jobs brought.

    `position`: where to go on, "" at the end; `closed`: findings that agree now.
    """

    looked_at: int = 0
    found: list[dict[str, Any]] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    position: str = ""

    def add(self, other: ReconcileResult) -> None:
        self.looked_at += other.looked_at
        self.found = list({_same(one): one for one in (*self.found, *other.found)}.values())
        self.closed = list(dict.fromkeys((*self.closed, *other.closed)))
        self.position = other.position


@dataclass(frozen=True)
class Scope:
    """How to look. `dry_run`: nothing is written.

    `thorough`: a service that cannot be asked is a finding even where no job here is of its saga.
    `position`: look at the jobs after it ("": from the window's beginning); `again`: ask about what
    was found before, too.
    """

    thorough: bool = False
    dry_run: bool = False
    position: str = ""
    again: bool = True


AS_USUAL = Scope()


def patrol(
    db: Engine, settings: Settings, registry: Registry, actor: str, scope: Scope = AS_USUAL
) -> ReconcileResult:
    """The next SUREFOOT_RECONCILE_ROWS jobs, from where the last patrol stopped."""
    with reading(db, name="run.patrol") as connection:
        position = reconciliations.position_of(connection, EFFECTS)
    done = look(db, settings, registry, actor, replace(scope, position=position))
    if not scope.dry_run:
        transaction(
            db,
            lambda tx: reconciliations.go_on_at(tx, EFFECTS, position, done.position),
            name="run.patrol",
        )
    return done


def whole_window(
    db: Engine, settings: Settings, registry: Registry, actor: str, scope: Scope = AS_USUAL
) -> ReconcileResult:
    """Every job that was accepted in the last SUREFOOT_RECONCILE_WINDOW_SECONDS.

    Where the patrol stands is not changed.
    """
    done = look(db, settings, registry, actor, scope)
    while done.position:
        further = replace(scope, position=done.position, again=False)
        done.add(look(db, settings, registry, actor, further))
    return done


def look(
    db: Engine, settings: Settings, registry: Registry, actor: str, scope: Scope
) -> ReconcileResult:
    """SUREFOOT_RECONCILE_ROWS jobs.

    Every saga's services are asked for orphans, whether this store knows a job of it or not: it may
    have lost them all.
    Raises: what the store does. What a reader raises is a finding.
    """
    with reading(db, name="run.look") as connection:
        since = max(scope.position, first_id_since(connection, settings.reconcile_window_seconds))
        page = reconciliations.page_of_jobs(connection, since, settings.reconcile_rows)
        before = (
            reconciliations.asked_about(connection, settings.reconcile_rows) if scope.again else []
        )
        known = {row.id for row in page}
        more = reconciliations.jobs_of(
            connection, {row.job_id for row in before if row.job_id is not None} - known
        )
        candidates = [
            row for row in (*page, *more) if row.state in ENDED or row.state == JobState.ATTENTION
        ]
        accounts = effects_of(connection, [row.id for row in candidates])
    if not scope.dry_run:
        findings.carry_out_decided(db, registry, before)
    asking = Asking(
        registry,
        settings.reconcile_keys,
        None if scope.thorough else {row.saga for row in page} | {row.saga for row in before},
    )
    at_end = len(page) < settings.reconcile_rows
    wrong = asking.compare(candidates, accounts)
    strays = asking.strays(since + END, ("g" if at_end else page[-1].id) + END)
    still = asking.ask_again([row for row in before if row.finding == Finding.ORPHAN])
    with reading(db, name="run.look") as connection:
        same = effects_of(connection, list({row.id for row in candidates}))
        unknown = reconciliations.unknown_jobs(
            connection, {one["key"] for one in (*strays, *still)}
        )
        present = reconciliations.open_of_jobs(connection, [row.id for row in candidates])
        home = tenants.default_tenant_in(connection)
        steady = {job_id for job_id, account in accounts.items() if same.get(job_id) == account}
        found = [one for one in wrong if one["job_id"] in steady]
        found += [one for one in (*strays, *still) if one["key"] in unknown] + asking.failures
        adopted = reconciliations.adopted_among(connection, {one["key"] for one in found})
    found = list({_same(one): one for one in found if _same(one) not in adopted}.values())
    disagrees = {_same(one) for one in found}
    agreed = [
        row
        for row in {row.id: row for row in (*present, *before)}.values()
        if asking.answered(row)
        and (row.job_id in steady or row.job_id is None)
        and _same(row._asdict()) not in disagrees
    ]
    done = ReconcileResult(len(page), [], [row.id for row in agreed], "" if at_end else page[-1].id)
    if scope.dry_run:
        done.found = found
        return done
    done.found = findings.record(
        db, found, {row.id: row.tenant_id for row in candidates}, home, actor
    )
    for row in agreed:
        findings.close(db, row.id, actor, AGREED)
    if done.found or agreed:
        log.info("reconciled", looked_at=done.looked_at, found=len(done.found), closed=len(agreed))
    return done


def _same(finding: Mapping[str, Any]) -> tuple[str, str, str]:
    """One finding, however often it is found."""
    return finding["finding"], finding["key"], finding["service"]
