"""What statements of several modules have in common: literals as partial indexes spell them, and
columns.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Integer, String, and_, bindparam, literal_column

from surefoot.app.clock import now
from surefoot.app.rules.states import JobState, LetterState, OpState
from surefoot.app.store.tables import operations

o = operations.c


def in_text(member: StrEnum) -> ColumnElement[str]:
    """A member as text of the statement, not a parameter: so a partial index is found by it."""
    return literal_column(f"'{member}'", String)


QUEUED, RUNNING = in_text(OpState.QUEUED), in_text(OpState.RUNNING)
WAITING, PENDING = in_text(OpState.WAITING), in_text(OpState.PENDING)
OPEN, COMPENSATING = in_text(LetterState.OPEN), in_text(JobState.COMPENSATING)
ZERO, ONE = literal_column("0", Integer), literal_column("1", Integer)
# The state of a row that is found by its id. PostgreSQL believes a partial index to be as good as a
# key while it is small, and keeps that plan when everything that was ever queued is in it; this is
# not a condition of any index.
STATE = o.state.concat(literal_column("''", String))
# What a move reads of its job: not its input, which may be large
JOB_OF_A_MOVE = (
    "id",
    "tenant_id",
    "digest",
    "state",
    "direction",
    "cause",
    "cancel_requested",
    "deadline_at",
    "owner",
    "seq",
    "rev",
)
P_LIMIT = bindparam("p_limit", type_=Integer)
NO_ID = "00000000-0000-0000-0000-000000000000"
READY = and_(o.state == QUEUED, o.pending_dependencies == ZERO)
BRIEF = (
    o.id,
    o.job_id,
    o.step,
    o.kind,
    o.item,
    o.rank,
    o.state,
    o.pending_dependencies,
    o.attempts,
    o.fence,
    o.unknown_outcomes,
)
READY_NOW: dict[str, Any] = {
    "state": OpState.QUEUED,
    "ready_at": now(),
    "sent_at": None,
    "republished": 0,
    "due_at": None,
    "wait_reason": None,
    "finished_at": None,
}
