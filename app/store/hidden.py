"""What nobody may see of jobs' inputs, so that it can be taken out of what is shown of them.

Inputs themselves are never shown.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, select

from surefoot.app.saga.inputs import secret_values
from surefoot.app.secrecy import NONE, Secrets
from surefoot.app.store.definitions import definition
from surefoot.app.store.tables import jobs


def secrets_of(connection: Connection, job_id: str, digest: str | None = None) -> Secrets:
    """Of one job, () for one that does not exist.

    `digest`: its definition, where that is known already.
    """
    if digest is not None and not definition(connection, digest).has_secrets:
        return NONE
    return secrets_of_each(connection, [job_id]).get(job_id, NONE)


def secrets_of_each(connection: Connection, job_ids: Collection[str]) -> dict[str, Secrets]:
    """job id -> its secrets, of jobs whose saga has any. Inputs are read of those alone."""
    j = jobs.c
    if not job_ids:
        return {}
    schemas = {
        row.id: found.input_schema
        for row in connection.execute(select(j.id, j.digest).where(j.id.in_(job_ids)))
        if (found := definition(connection, row.digest)).has_secrets
    }
    if not schemas:
        return {}
    inputs = connection.execute(select(j.id, j.input).where(j.id.in_(list(schemas))))
    return {row.id: secret_values(schemas[row.id], row.input) for row in inputs}
