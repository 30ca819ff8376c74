"""What a column is set to where its row, or the database's time, decides."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Case, case, func, literal, null

from surefoot.app.clock import UtcDateTime, after, now
from surefoot.app.store.tables import operations

_o = operations.c

# `claim_deadline_at` of what waits on: a deadline that has passed is taken away.
CLAIM_DEADLINE_AHEAD: Case[Any] = case(
    (_o.claim_deadline_at < now(), null()), else_=_o.claim_deadline_at
)
# `failing_since` of what has failed once more: the first failure's time stays.
FAILING_SINCE = func.coalesce(_o.failing_since, now())


def after_or_at(seconds: float, moment: datetime) -> Case[Any]:
    """The sooner of the two: so many seconds from now, or `moment`."""
    then, latest = after(seconds), literal(moment, UtcDateTime)
    return case((then < latest, then), else_=latest)
