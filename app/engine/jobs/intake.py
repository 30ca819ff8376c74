"""The one way in: whatever makes a job, a submission or a resubmission, asks the same questions
here.

The hazard: a second way to make a job that lacks a guard of the first. A resubmission that ignored
the idempotency key charged a card once more for each answer that was lost, and it went past
SUREFOOT_OPEN_JOBS. So page, HTTP, command line and relay hold an Entrance, and nothing else makes
jobs.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Engine

from surefoot.app.config import Settings
from surefoot.app.engine.jobs.submit import (
    Admit,
    Also,
    Conditions,
    Submission,
    Submitted,
    submit,
    submit_in,
)
from surefoot.app.limits.admission import Admission
from surefoot.app.saga.registry import Registry


@dataclass(frozen=True)
class Entrance:
    """`registry`: None where no saga's code is installed; `admit`: whether a tenant may have one
    more open job.
    """

    db: Engine
    settings: Settings
    registry: Registry | None
    admit: Admit

    @classmethod
    def of(cls, db: Engine, settings: Settings, registry: Registry | None = None) -> Entrance:
        """One for a process, which counts open jobs for itself."""
        return cls(db, settings, registry, Admission(settings.open_jobs).admit)

    def submit(self, submission: Submission, *, also: Also | None = None) -> Submitted:
        """As `submit`, which says what it raises."""
        conditions = Conditions(self.admit, also)
        return submit(self.db, self.settings, self.registry, submission, conditions)

    def submit_in(self, tx: Connection, submission: Submission) -> Submitted:
        """As `submit_in`, in the caller's transaction."""
        return submit_in(tx, self.settings, self.registry, submission, self.admit)
