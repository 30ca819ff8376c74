"""What a service puts beside its own tables, so that an effect happens once however often it is
asked for.

The hazard: messages are delivered at least once, a worker that was thought dead wakes up, and an
undo may overtake the action it undoes. A look first ("is it there already?") does not help: between
the look and the write another process does the same.

The answer is `barrier`: one table in the service's own database, one row for each effect key,
written in the very transaction that writes the effect. The database's unique index then decides. A
repeat waits for the first, finds the row and gets the stored result; an undo that comes first
leaves a tombstone, and the late action is refused.

What is left to the caller: the effect must be in the same transaction (READ COMMITTED on
PostgreSQL, BEGIN IMMEDIATE on SQLite). A barrier around a remote call protects nothing: commit an
intent first, call with the effect's key, commit the result, and let the remote refuse a key that
was voided. The `order` saga's payment service shows how.
"""

from surefoot.app.participant.barrier import ActionUndone, Named, Pass, barrier, barrier_table
from surefoot.app.participant.effects import (
    EffectReport,
    EffectState,
    effects_in_barrier,
    effects_in_barrier_between,
    only_reports,
)
from surefoot.app.participant.stand_ins import stand_in, stands_in

__all__ = [
    "ActionUndone",
    "EffectReport",
    "EffectState",
    "Named",
    "Pass",
    "barrier",
    "barrier_table",
    "effects_in_barrier",
    "effects_in_barrier_between",
    "only_reports",
    "stand_in",
    "stands_in",
]
