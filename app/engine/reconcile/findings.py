"""Findings of reconciliation, and what a person decides about them.

- **adopt**: what stands is right. It is accounted for, by a job where one is named, and not found
  again.
- **undo**: what stands is taken back, by what its saga registers for the service
  (`Saga.undo_effect`). The decision is a row before anything is done; the next reconciliation
  carries out what was decided and not done. The undo's key is that of the step's own undo, so the
  service's barrier makes a repeat harmless.
- **close**: a person has seen to it. What still disagrees is found again.

Each has an actor and a reason, in the finding and in the history of its job where that exists.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import Connection, Engine

from surefoot.app.engine.jobs.transaction import JobTransaction
from surefoot.app.errors import Conflict, NotFound
from surefoot.app.logs import hidden
from surefoot.app.participant import EffectReport, EffectState
from surefoot.app.rules.events import HistoryEvent
from surefoot.app.rules.findings import Finding, FindingAction
from surefoot.app.rules.states import Kind
from surefoot.app.saga.context import Context
from surefoot.app.saga.naming import DEFAULT_TENANT, parse_effect_key
from surefoot.app.saga.registry import Registry
from surefoot.app.store import acts, reconciliations, tenants
from surefoot.app.store.acts import Act
from surefoot.app.store.rows.findings import FindingRow
from surefoot.app.store.session import reading, transaction

log = structlog.get_logger("surefoot.reconcile")
STANDS_THERE = (
    Finding.ORPHAN,
    Finding.MISSING_HERE,
    Finding.DIFFERENT,
)  # what can be undone, where the service says that it stands
MESSAGE_CHARS = 500


def close(db: Engine, finding_id: str, actor: str, why: str, **values: Any) -> bool:
    """Close a finding; the history of its job says who and why. False: it is closed already."""

    def work(tx: Connection) -> bool:
        before = reconciliations.one(tx, finding_id, actor)
        job_tx = _move_of(tx, before.job_id if before is not None else None)
        row = reconciliations.close(tx, finding_id, actor=actor, why=why, **values)
        if row is not None and job_tx is not None:
            job_tx.record(
                HistoryEvent.FINDING_CLOSED,
                actor=actor,
                finding=row.finding,
                key=row.key,
                action=row.action,
                why=why,
            )
            job_tx.close()
        if row is not None:
            acts.note(tx, actor, _act("close", row, why))
        return row is not None

    return transaction(db, work, name="findings.close")


def adopt(db: Engine, finding_id: str, actor: str, why: str, job_id: str | None = None) -> bool:
    """What stands is right: it is not found again.

    `job_id`: the job that accounts for it; its history says so.

    False: it is closed already. Raises: NotFound; Conflict for a finding without an effect, or
    whose undo was decided.
    """
    row = _found(db, finding_id, actor)
    if row.finding in (Finding.LATE, Finding.UNASKABLE):
        raise Conflict(
            f"a finding of the kind {row.finding} is about no effect: there is nothing to adopt"
        )
    detail = {**(row.detail or {}), **({"accounted_by": job_id} if job_id is not None else {})}

    def work(tx: Connection) -> bool:
        adopted = reconciliations.adopt(tx, finding_id, actor=actor, why=why, detail=detail)
        for job, event in (
            ((row.job_id, HistoryEvent.FINDING_CLOSED), (job_id, HistoryEvent.EFFECT_ADOPTED))
            if adopted is not None
            else ()
        ):
            job_tx = (
                JobTransaction(tx, job, by=actor)
                if job == job_id and job is not None
                else _move_of(tx, job)
            )
            if job_tx is not None:
                job_tx.record(
                    event,
                    actor=actor,
                    finding=row.finding,
                    service=row.service,
                    key=row.key,
                    action=FindingAction.ADOPTED,
                    why=why,
                )
                job_tx.close()
        if adopted is not None:
            acts.note(tx, actor, _act("adopt", row, why, accounted_by=job_id))
        return adopted is not None

    if transaction(db, work, name="findings.adopt"):
        return True
    if _found(db, finding_id, actor).closed_at is None:
        raise Conflict("its undo was decided: it cannot be adopted any more")
    return False


@dataclass(frozen=True)
class UndoAsked:
    """The person that wants an effect undone, and why.

    `past_return`: even though its lost job was past the point of no return.
    """

    actor: str
    why: str
    past_return: bool = False


def undo(db: Engine, registry: Registry, finding_id: str, asked: UndoAsked) -> str | None:
    """Take back what stands, now. Returns None when it is done, else what went wrong.

    After a failure the next reconciliation tries again. Raises: as `decide_undo`.
    """
    return _carry_out(db, registry, decide_undo(db, registry, finding_id, asked))


def decide_undo(db: Engine, registry: Registry, finding_id: str, asked: UndoAsked) -> FindingRow:
    """Record that what stands is to be taken back: the next reconciliation does it.

    Returns the finding.
    Raises: NotFound; Conflict when it is closed, nothing stands, nothing can undo it, or its lost
    job was past the point of no return.
    """
    actor, why, past_return = asked.actor, asked.why, asked.past_return
    row = _found(db, finding_id, actor)
    refusal = why_not_undone(db, registry, row._asdict(), past_return=past_return)
    if refusal:
        raise Conflict(refusal)
    detail = {**(row.detail or {}), "decided": {"by": actor, "why": why}}

    def work(tx: Connection) -> FindingRow | None:
        said = reconciliations.say(
            tx, finding_id, actor=actor, action=FindingAction.UNDO, detail=detail
        )
        if said is not None:
            acts.note(tx, actor, _act("undo", said, why, past_return=past_return or None))
        return said

    decided = transaction(db, work, name="findings.decide_undo")
    if decided is None:
        raise Conflict("it is closed already")
    return decided


def carry_out_decided(db: Engine, registry: Registry, rows: Sequence[FindingRow]) -> None:
    """Undo what was decided and is not done: the process that was at it has ended, or the service
    was away.
    """
    for row in rows:
        if row.action == FindingAction.UNDO:
            _carry_out(db, registry, row)


def why_not_undone(
    db: Engine, registry: Registry, finding: Mapping[str, Any], *, past_return: bool = False
) -> str:
    """What speaks against undoing what a finding is about; empty when nothing does."""
    if finding["closed_at"] is not None:
        return "it is closed already"
    stands = ((finding["detail"] or {}).get("there") or {}).get("state") == EffectState.DONE
    if finding["finding"] not in STANDS_THERE or not stands:
        return "nothing stands there that could be undone"
    past = (
        []
        if past_return or finding["finding"] != Finding.ORPHAN
        else steps_past_return(registry, lost_effects(db, finding["key"]))
    )
    if past:
        return f"its job was past the point of no return ({', '.join(past)} happened): adopt it"
    saga = registry.get(finding["saga"])
    if saga is None or finding["service"] not in saga.effect_undoers:
        return f"saga {finding['saga']} registers nothing that undoes an effect of {finding['service']!r} (undo_effect): undo it by hand"
    return ""


def lost_effects(db: Engine, key: str) -> list[dict[str, Any]]:
    """Every effect found of the lost job that this key names."""
    parsed = parse_effect_key(key)
    if parsed is None:
        return []
    with reading(db, name="findings.lost_effects") as connection:
        return [row._asdict() for row in reconciliations.of_lost_job(connection, parsed.job)]


def steps_past_return(registry: Registry, found: Sequence[Mapping[str, Any]]) -> list[str]:
    """The steps among these findings from which there is no way back."""
    nodes = [
        (one["step"], saga.graph.by_name.get(one["step"]))
        for one in found
        if (saga := registry.get(one["saga"])) is not None
    ]
    return list(
        dict.fromkeys(step for step, node in nodes if node is not None and node.irrevocable)
    )


def record(
    db: Engine,
    found: Sequence[dict[str, Any]],
    tenants: Mapping[str, str],
    home: str | None,
    actor: str,
) -> list[dict[str, Any]]:
    """Open these findings, those of a job together. Returns those that are new."""
    by_job: dict[str | None, list[dict[str, Any]]] = defaultdict(list)
    for one in found:
        by_job[one["job_id"]].append(one)

    def work(
        tx: Connection, job_id: str | None, group: list[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        job_tx = _move_of(tx, job_id)
        tenant = tenants.get(job_id, home) if job_id is not None else home
        new = [
            one
            for one in group
            if reconciliations.note(tx, one | {"tenant_id": tenant, "actor": actor})
        ]
        if job_tx is not None and new:
            for one in new:
                job_tx.record(
                    HistoryEvent.RECONCILIATION_FINDING,
                    actor=actor,
                    finding=one["finding"],
                    service=one["service"],
                    key=one["key"],
                    action=one["action"],
                )
            job_tx.close()
        return new

    return [
        one
        for job_id, group in by_job.items()
        for one in transaction(
            db,
            lambda tx, j=job_id, g=group: work(tx, j, g),  # type: ignore[misc]
            name="findings.record",
        )
    ]


def _act(word: str, row: FindingRow, why: str, **details: Any) -> Act:
    said = {"finding": row.finding, "service": row.service or None, "key": row.key}
    return Act(word, "finding", row.id, row.tenant_id, row.job_id, why, said | details)


def _move_of(tx: Connection, job_id: str | None) -> JobTransaction | None:
    try:
        return JobTransaction(tx, job_id) if job_id is not None else None
    except NotFound:
        return None


def _found(db: Engine, finding_id: str, actor: str) -> FindingRow:
    with reading(db, name="findings.found") as connection:
        row = reconciliations.one(connection, finding_id, actor)
    if row is None:
        raise NotFound("there is no such finding")
    return row


def _carry_out(db: Engine, registry: Registry, row: FindingRow) -> str | None:
    saga, parsed = registry.get(row.saga), parse_effect_key(row.key)
    if saga is None or parsed is None or row.service not in saga.effect_undoers:
        return "its code is not here"
    with reading(db, name="findings.carry_out") as connection:
        tenant = tenants.tenant_named(connection, row.tenant_id) or DEFAULT_TENANT
    ctx = Context(
        job_id=parsed.job,
        saga=row.saga,
        step=parsed.step,
        item=parsed.item,
        kind=Kind.UNDO,
        tenant=tenant,
    )
    decided = (row.detail or {}).get("decided") or {}
    try:
        known = [
            one for one in saga.effect_readers[row.service]([row.key]) or () if one.key == row.key
        ]
        saga.effect_undoers[row.service](
            ctx, known[0] if known else EffectReport(row.key, EffectState.UNKNOWN)
        )
    except Exception as error:
        told = hidden(f"{type(error).__name__}: {error}")[:MESSAGE_CHARS]
        log.warning("effect_not_undone", key=row.key, service=row.service, error=told)
        transaction(
            db,
            lambda tx: reconciliations.say(
                tx,
                row.id,
                actor=None,
                action=FindingAction.UNDO,
                detail={**(row.detail or {}), "error": told},
            ),
            name="findings.carry_out",
        )
        return told
    close(
        db,
        row.id,
        str(decided.get("by", "")),
        str(decided.get("why", "")),
        action=FindingAction.UNDONE,
    )
    log.info("effect_undone", key=row.key, service=row.service, actor=decided.get("by"))
    return None
