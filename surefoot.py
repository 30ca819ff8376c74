"""What saga authors import. Everything else is Surefoot's own business and may change."""

from app.participant import (
    ActionUndone,
    EffectState,
    Seen,
    barrier,
    barrier_table,
    seen_in_barrier,
    seen_in_barrier_between,
    stand_in,
)
from app.saga.context import Context
from app.saga.definition import Saga
from app.saga.inputs import needs_approval_above, says, secret
from app.saga.locking import Shared
from app.saga.outcomes import NEVER, UNKNOWN, Failed, Happened, NothingSent, NotYet, Probed, Rejected, RetryLater
from app.saga.policies import Retry
from app.saga.step import Step

__all__ = [
    "NEVER",
    "UNKNOWN",
    "ActionUndone",
    "Context",
    "EffectState",
    "Failed",
    "Happened",
    "NotYet",
    "NothingSent",
    "Probed",
    "Rejected",
    "Retry",
    "RetryLater",
    "Saga",
    "Seen",
    "Shared",
    "Step",
    "barrier",
    "barrier_table",
    "needs_approval_above",
    "says",
    "secret",
    "seen_in_barrier",
    "seen_in_barrier_between",
    "stand_in",
]
