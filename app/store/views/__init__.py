"""What people and programs see of the store: reads only, shaped as the answers of the HTTP
contract.

Every read of a job names the tenant in its WHERE; `tenant_id=None` is for the operator's own
command line. A job of another tenant is NotFound, like one that never was. A list costs a fixed
number of statements however long it is. Inputs are never shown, so neither are the secrets in them.
"""

from __future__ import annotations

from surefoot.app.store.views.effects import effects_view
from surefoot.app.store.views.history import history_ends, history_pages, history_view
from surefoot.app.store.views.job_lists import SHOWN_STATES, count_jobs, list_jobs
from surefoot.app.store.views.jobs import job_view, job_with_letters
from surefoot.app.store.views.locks import locks_view
from surefoot.app.store.views.lookup import jobs_called
from surefoot.app.store.views.names import short_name
from surefoot.app.store.views.polls import Polls
from surefoot.app.store.views.revision import Revision, job_revision, job_with_revision
from surefoot.app.store.views.sagas import saga_view, sagas_view
from surefoot.app.store.views.workers import workers_view

__all__ = [
    "SHOWN_STATES",
    "Polls",
    "Revision",
    "count_jobs",
    "effects_view",
    "history_ends",
    "history_pages",
    "history_view",
    "job_revision",
    "job_view",
    "job_with_letters",
    "job_with_revision",
    "jobs_called",
    "list_jobs",
    "locks_view",
    "saga_view",
    "sagas_view",
    "short_name",
    "workers_view",
]
