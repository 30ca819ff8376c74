"""Effect readers: a service's own word on what became of an effect, for reconciliation and drills.

A reader takes effect keys of actions and answers with one `EffectReport` for each that it knows. It
reads the service (or the remote behind it), never the engine's tables: it is the other side of the
comparison.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, select

from surefoot.app.participant.barrier import DONE, NEVER, rows

ID_CHARS = 36  # a key begins with its job's id
LISTED = 5_000  # effects of one answer


class EffectState(StrEnum):
    NONE = "none"  # it never happened, or was refused before it could
    DONE = "done"  # it happened and stands
    UNDONE = "undone"  # it happened and was taken back
    UNKNOWN = "unknown"  # it was begun, and this service cannot tell how it ended


@dataclass(frozen=True)
class EffectReport:
    """What a service says of one effect.

    `key`: job:step:item:action; `detail`: the service's own words and numbers.
    """

    key: str
    state: EffectState
    detail: Mapping[str, Any] = field(default_factory=dict)


def only_reports(answers: Iterable[Any] | None) -> Iterator[EffectReport]:
    """What a reader answered, one by one; None is nothing.

    Raises: TypeError at anything else, and whatever the reader raises.
    """
    for one in answers or ():
        if not isinstance(one, EffectReport):
            raise TypeError(f"it gave {type(one).__name__}, not EffectReport")
        yield one


def effects_in_barrier(connection: Connection, keys: Iterable[str]) -> list[EffectReport]:
    """The reader of a service whose effects are all behind its barrier: what the barrier's rows
    say.

    Args: `keys`, of actions. Returns: one EffectReport for each key that has a row, ordered by key;
    `detail["result"]` is what the action kept.
    """
    query = (
        select(rows.c.key, rows.c.outcome, rows.c.result)
        .where(rows.c.key.in_(list(keys)))
        .order_by(rows.c.key)
    )
    return [_seen(row) for row in connection.execute(query)]


def effects_in_barrier_between(
    connection: Connection, first: str, last: str, most: int = LISTED
) -> list[EffectReport]:
    """What lists the effects of a service that are all behind its barrier (`Saga.effect_lister`).

    Returns: one EffectReport for each action whose key is above `first` and below `last`, by key;
    at most `most`: call again from the last key on.
    """
    key: ColumnElement[str] = rows.c.key
    # Keys compare by their characters here; the index may compare as a language does, in which ids
    # come in the same order.
    exact: ColumnElement[str] = key.collate("C") if connection.dialect.name == "postgresql" else key
    within = (
        key >= first[:ID_CHARS],
        key < _behind(last),
        exact > first,
        exact < last,
        key.like("%:action"),
    )
    query = (
        select(rows.c.key, rows.c.outcome, rows.c.result).where(*within).order_by(exact).limit(most)
    )
    return [_seen(row) for row in connection.execute(query)]


def _behind(last: str) -> str:
    """Above every key of the job whose id `last` begins with."""
    try:
        return str(UUID(int=UUID(last[:ID_CHARS]).int + 1))
    except ValueError:  # no id, or the last one there can be
        return "g"


def _seen(row: Any) -> EffectReport:
    words = {DONE: EffectState.DONE, NEVER: EffectState.NONE}
    return EffectReport(row.key, words.get(row.outcome, EffectState.UNDONE), {"result": row.result})
