"""After a restore: what to do about each finding, when services are ahead of a store that was lost
or is older than they are.

A lost job past its point of no return meant what it did: it is adopted, and what is missing of it
done by hand. Before that point nobody will ever go on with it: what it did is undone, the last step
first, as the job would have done.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Engine

from surefoot.app.engine.reconcile import findings
from surefoot.app.rules.findings import Finding, FindingAction
from surefoot.app.saga.naming import parse_effect_key
from surefoot.app.saga.registry import Registry
from surefoot.app.store import reconciliations
from surefoot.app.store.ids import is_id
from surefoot.app.store.session import reading

ADOPT, CLOSE, WAIT = "adopt", "close", "wait"


@dataclass(frozen=True)
class Advice:
    """What to do about a finding (adopt, undo, close, or wait), and why."""

    act: str
    why: str


def open_findings(db: Engine) -> list[dict[str, Any]]:
    """Every open finding about effects."""
    with reading(db, name="restored.open_findings") as connection:
        return [row._asdict() for row in reconciliations.every_open(connection)]


def advise(
    db: Engine, registry: Registry, found: Sequence[Mapping[str, Any]]
) -> list[tuple[Mapping[str, Any], Advice]]:
    """Each finding with what to do about it, in the order in which to do it: a lost job's last step
    first.
    """
    groups: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for one in found:
        groups[_job_of(one)].append(one)
    advised = []
    for group in groups.values():
        past = _past_return(db, registry, group)
        missing = _not_seen(registry, group) if past else []
        ordered = sorted(group, key=lambda one: _rank(registry, one), reverse=True)
        advised += [(one, _advice(db, registry, one, past, missing)) for one in ordered]
    return advised


def lost_between(found: Iterable[Mapping[str, Any]]) -> tuple[datetime, datetime] | None:
    """When the first and the last lost job was accepted, as far as their effects tell (an id begins
    with its time).
    """
    lost = [job for one in found if one["finding"] == Finding.ORPHAN and is_id(job := _job_of(one))]
    times = sorted(UUID(job).int >> 80 for job in lost)
    return (_moment(times[0]), _moment(times[-1])) if times else None


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _advice(
    db: Engine,
    registry: Registry,
    one: Mapping[str, Any],
    past: Sequence[str],
    missing: Sequence[str],
) -> Advice:
    if one["finding"] == Finding.UNASKABLE:
        return Advice(WAIT, "its service cannot be asked: bring it back, then reconcile again")
    if one.get("action") == FindingAction.UNDO:
        return Advice(
            FindingAction.UNDO,
            f"it was decided and has not been done: {(one['detail'] or {}).get('error', 'nobody has come to it')}",
        )
    if one["finding"] == Finding.ORPHAN and past:
        todo = f"; not seen, so to be done by hand: {', '.join(missing)}" if missing else ""
        return Advice(ADOPT, f"its job was past the point of no return ({', '.join(past)}){todo}")
    refusal = findings.why_not_undone(db, registry, {"closed_at": None, **one}, past_return=True)
    if not refusal:
        lost = one["finding"] == Finding.ORPHAN
        return Advice(
            FindingAction.UNDO,
            "its job is lost, and nobody else takes it back"
            if lost
            else "it stands, and its job is undone",
        )
    if one["finding"] == Finding.MISSING_THERE:
        return Advice(
            ADOPT,
            "the service knows nothing of it: was that restored, too? Do it again by hand, or let it be",
        )
    return Advice(CLOSE, refusal)


def _past_return(db: Engine, registry: Registry, group: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [one for one in group if one["finding"] == Finding.ORPHAN]
    kept = findings.lost_effects(db, rows[0]["key"]) if rows else []
    known = {(one["key"], one["service"]): one for one in (*kept, *rows)}
    return findings.steps_past_return(registry, list(known.values()))


def _not_seen(registry: Registry, group: Sequence[Mapping[str, Any]]) -> list[str]:
    """Steps past the point of no return that a service would report, but does not."""
    saga = registry.get(group[0]["saga"])
    if saga is None:
        return []
    seen = {one["step"] for one in group}
    told = {step for service in saga.effect_listers for step in saga.steps_of(service)}
    return [node.name for node in saga.graph.nodes if node.irrevocable and node.name in told - seen]


def _rank(registry: Registry, one: Mapping[str, Any]) -> int:
    saga = registry.get(one["saga"])
    names = [node.name for node in saga.graph.nodes] if saga is not None else []
    return names.index(one["step"]) if one["step"] in names else -1


def _job_of(one: Mapping[str, Any]) -> str:
    parsed = parse_effect_key(one["key"])
    return parsed.job if parsed is not None else str(one["key"])
