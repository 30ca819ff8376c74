"""Effect readers: a service's own word on what became of an effect, for reconciliation and drills.

A reader takes effect keys of actions and answers with one `Seen` for each that it knows. It reads the service (or the
remote behind it), never the engine's tables: it is the other side of the comparison.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, select

from app.participant.barrier import DONE, NEVER, rows


class EffectState(StrEnum):
    NONE = "none"  # it never happened, or was refused before it could
    DONE = "done"  # it happened and stands
    UNDONE = "undone"  # it happened and was taken back
    UNKNOWN = "unknown"  # it was begun, and this service cannot tell how it ended


@dataclass(frozen=True)
class Seen:
    """What a service says of one effect. `key`: job:step:item:action; `detail`: the service's own words and numbers."""

    key: str
    state: EffectState
    detail: Mapping[str, Any] = field(default_factory=dict)


def only_seen(answers: Iterable[Any] | None) -> Iterator[Seen]:
    """What a reader answered, one by one; None is nothing. Raises: TypeError at what is no Seen, and whatever the reader raises."""
    for one in answers or ():
        if not isinstance(one, Seen):
            raise TypeError(f"it gave {type(one).__name__}, not Seen")
        yield one


def seen_in_barrier(connection: Connection, keys: Iterable[str]) -> list[Seen]:
    """The reader of a service whose effects are all behind its barrier: what the barrier's rows say.

    Args: `keys`, of actions. Returns: one Seen for each key that has a row, ordered by key; `detail["result"]` is what
    the action kept.
    """
    words = {DONE: EffectState.DONE, NEVER: EffectState.NONE}
    query = select(rows.c.key, rows.c.outcome, rows.c.result).where(rows.c.key.in_(list(keys))).order_by(rows.c.key)
    return [Seen(row.key, words.get(row.outcome, EffectState.UNDONE), {"result": row.result}) for row in connection.execute(query)]
