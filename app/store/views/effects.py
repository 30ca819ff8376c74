"""The account of a job's effects: what happened outside, and what became of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Integer,
    String,
    and_,
    column,
    literal_column,
    or_,
    select,
    table,
)

from surefoot.app.rules.decisions import Resolution
from surefoot.app.rules.fidelities import FIDELITIES, LEAVES_SOMETHING, Fidelity
from surefoot.app.rules.states import Dir, Kind
from surefoot.app.saga.graph import Node
from surefoot.app.saga.naming import effect_key
from surefoot.app.store.session import reading
from surefoot.app.store.tables import Id, jobs
from surefoot.app.store.views.snapshot import Snapshot, load

_view = table(
    "surefoot_effects",
    column("job_id", Id),
    column("step", String),
    column("item", String),
    column("rank", Integer),
    column("fidelity", String),
    column("outcome", String),
    column("undo_state", String),
    column("undo_attempts", Integer),
)

MOST_NAMED = 8  # of one fidelity


@dataclass(frozen=True)
class Effect:
    """A row of the view.

    `outcome`: none, done, unknown; `undo_state`: not_needed, pending, done, refused, waived.

    `turned`: its job goes back, or went.
    """

    step: str
    item: str
    fidelity: str | None
    outcome: str
    undo_state: str
    undo_attempts: int
    turned: bool = False

    @property
    def stays(self) -> bool:
        """Whether its job was turned and it took effect, or may have, and it is one that is not
        undone (`undo=None`).
        """
        return (
            self.turned
            and self.undo_state == "not_needed"
            and self.fidelity is None
            and self.outcome != "none"
        )

    @property
    def left_over(self) -> bool:
        """Whether something of it is still there although its job was turned."""
        partly = self.undo_state == "done" and self.fidelity in LEAVES_SOMETHING
        return self.undo_state in ("refused", Resolution.WAIVED) or partly or self.stays


def effects_of(connection: Connection, job_ids: Sequence[str]) -> dict[str, list[Effect]]:
    """job id -> its effects in graph order; one statement for all."""
    found: dict[str, list[Effect]] = {job_id: [] for job_id in job_ids}
    if not found:
        return found
    c = _view.c
    query = (
        select(
            c.job_id,
            c.step,
            c.item,
            c.fidelity,
            c.outcome,
            c.undo_state,
            c.undo_attempts,
            jobs.c.direction,
        )
        .join_from(_view, jobs, jobs.c.id == c.job_id)
        .where(c.job_id.in_(job_ids))
        .order_by(c.job_id, c.rank, c.item)
    )
    for row in connection.execute(query):
        told = (
            row.step,
            row.item,
            row.fidelity,
            row.outcome,
            row.undo_state,
            row.undo_attempts or 0,
        )
        found[row.job_id].append(Effect(*told, turned=row.direction == Dir.BACK))
    return found


def is_left_over() -> ColumnElement[bool]:
    """`Effect.left_over` of any effect of a job that was turned, as a condition on `jobs`."""
    c = _view.c
    partly = and_(c.undo_state == "done", c.fidelity.in_(LEAVES_SOMETHING))
    stays = and_(c.undo_state == "not_needed", c.fidelity.is_(None), c.outcome != "none")
    left = or_(c.undo_state.in_(("refused", Resolution.WAIVED)), partly, stays)
    return select(literal_column("1")).where(c.job_id == jobs.c.id, left).exists()


def effects_view(db: Engine, job_id: str, tenant_id: str | None) -> dict[str, Any]:
    """{"items": one for each step with an effect, "summary": counts and one sentence}.

    Raises: NotFound.
    """
    with reading(db) as connection:
        snapshot = load(connection, job_id, tenant_id)
        effects = effects_of(connection, [snapshot.job.id])[snapshot.job.id]
    return {"items": effect_items(snapshot, effects), "summary": summary(snapshot, effects)}


def effect_items(snapshot: Snapshot, effects: Sequence[Effect]) -> list[dict[str, Any]]:
    return [_item(snapshot, effect) for effect in effects]


def _item(snapshot: Snapshot, effect: Effect) -> dict[str, Any]:
    node = snapshot.graph.by_name[effect.step]
    return {
        "step": effect.step,
        "title": snapshot.words.title(effect.step),
        "item": effect.item,
        "key": effect_key(snapshot.job.id, effect.step, effect.item, Kind.ACTION),
        "outcome": effect.outcome,
        "fidelity": effect.fidelity or ("irreversible" if node.irreversible else None),
        "undo": {
            "state": "stays" if effect.stays else effect.undo_state,
            "attempts": effect.undo_attempts,
            "note": note_of(node, effect),
        },
    }


def note_of(node: Node, effect: Effect) -> str:
    """What its author says of what is left, where something is, or will be; of an effect that never
    was there is nothing to say.
    """
    if effect.stays:
        return node.note
    applies = effect.undo_state == "done" or (
        effect.undo_state == "pending" and effect.outcome != "none"
    )
    return node.compensation.note if node.compensation is not None and applies else ""


def summary(snapshot: Snapshot, effects: Sequence[Effect]) -> dict[str, Any]:
    """{"done", "unknown", "undone": {fidelity: n}, "pending", "left_over", "sentence"}."""
    undone = Counter(e.fidelity or Fidelity.EXACT for e in effects if e.undo_state == "done")
    counts: dict[str, Any] = {
        "done": sum(e.outcome == "done" for e in effects),
        "unknown": sum(e.outcome == "unknown" for e in effects),
        "undone": {fidelity: undone[fidelity] for fidelity in FIDELITIES if undone[fidelity]},
        "pending": sum(e.undo_state == "pending" for e in effects),
        "left_over": sum(e.left_over for e in effects),
    }
    return counts | {"sentence": _sentence(snapshot, effects, counts)}


def _sentence(snapshot: Snapshot, effects: Sequence[Effect], counts: dict[str, Any]) -> str:
    """As "compensated: 2 exact, 1 equivalent (refund_card), 0 left over"; where nothing is to be
    undone, what took effect.
    """
    stay = sum(e.stays for e in effects)
    if not counts["undone"] and not counts["pending"] and counts["left_over"] == stay:
        return _took_effect(snapshot, counts, stay)
    parts = []
    for fidelity, number in counts["undone"].items():
        names = [
            _undo_name(snapshot, e.step)
            for e in effects
            if e.undo_state == "done" and e.fidelity == fidelity
        ]
        named = (
            f" ({', '.join(names)})" if fidelity != Fidelity.EXACT and number <= MOST_NAMED else ""
        )
        parts.append(f"{number} {fidelity}{named}")
    if counts["pending"]:
        parts.append(f"{counts['pending']} still to undo")
    return f"compensated: {', '.join([*parts, str(counts['left_over']) + ' left over'])}"


def _took_effect(snapshot: Snapshot, counts: dict[str, Any], stay: int) -> str:
    if stay:
        return f"{stay} took effect and stay{'s' if stay == 1 else ''}, as the saga says"
    if not counts["done"] and not counts["unknown"]:
        return "nothing took effect" if snapshot.ended else "nothing has taken effect yet"
    said = "may have taken effect" if snapshot.ended else "not known yet"
    unknown = f", {counts['unknown']} {said}" if counts["unknown"] else ""
    return f"{counts['done']} took effect{unknown}"


def _undo_name(snapshot: Snapshot, step: str) -> str:
    undo = snapshot.graph.by_name[step].compensation
    return undo.name if undo else step
