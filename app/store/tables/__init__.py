"""The tables. Beside each constraint, the accident it prevents.

Indexes on changing columns are partial: a finished row leaves them, so a sweep over ten million
finished jobs costs what it costs over none. Their conditions are spelled with literals, and so are
the sweeps that use them: neither database can prove that a bound parameter implies a partial
index's condition.
"""

from __future__ import annotations

from surefoot.app.store.tables.access import api_keys, sessions, tenants
from surefoot.app.store.tables.acts import acts
from surefoot.app.store.tables.base import NOBODY, Id, metadata
from surefoot.app.store.tables.dead_letters import dead_letters, quarantine
from surefoot.app.store.tables.definitions import definitions, edges
from surefoot.app.store.tables.jobs import history, idempotency_keys, inbox, job_tags, jobs, outbox
from surefoot.app.store.tables.locks import lock_waiters, locks
from surefoot.app.store.tables.operations import EFFECTS_VIEW, operations
from surefoot.app.store.tables.processes import faults_fired, leases, workers
from surefoot.app.store.tables.reconciliation import periodic_runs, reconciliations

__all__ = [
    "EFFECTS_VIEW",
    "NOBODY",
    "Id",
    "acts",
    "api_keys",
    "dead_letters",
    "definitions",
    "edges",
    "faults_fired",
    "history",
    "idempotency_keys",
    "inbox",
    "job_tags",
    "jobs",
    "leases",
    "lock_waiters",
    "locks",
    "metadata",
    "operations",
    "outbox",
    "periodic_runs",
    "quarantine",
    "reconciliations",
    "sessions",
    "tenants",
    "workers",
]
