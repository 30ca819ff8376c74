"""Filling a store: one job that really ran, copied by the database itself as often as wanted."""

from __future__ import annotations

from contextlib import suppress

from sqlalchemy import Engine, NullPool, Table, create_engine, text
from sqlalchemy.exc import DBAPIError

from surefoot.app.store.session import dialect_is_sqlite
from surefoot.app.store.tables import history, jobs, operations

NUMBERS = {
    "postgresql": "generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS g(n)",
    "sqlite": "(WITH RECURSIVE g(n) AS (SELECT :first UNION ALL SELECT n + 1 FROM g WHERE n < :last) SELECT n FROM g) AS g",
}
# ids of long ago, so that whatever pages by id meets them first
IDS = {
    "postgresql": "CAST('01900000-0000-7' || lpad(to_hex({kind}), 3, '0') || '-8000-' || lpad(to_hex(g.n), 12, '0') AS uuid)",
    "sqlite": "printf('0190000000007%03x8000%012x', {kind}, g.n)",
}


def copy(db: Engine, job_id: str, first: int, last: int) -> None:
    """Copies number `first` to `last` of a job, its operations and its history.

    A number is used once in a store.
    """
    name = db.dialect.name
    id_of_job = IDS[name].format(kind="0")
    with db.begin() as tx:
        if not dialect_is_sqlite(tx):
            tx.execute(text("SET LOCAL synchronous_commit = off"))
            tx.execute(text("SET LOCAL statement_timeout = 0"))
        for table, own, key in (
            (jobs, {"id": id_of_job}, "id"),
            (
                operations,
                {"id": IDS[name].format(kind="t.rank + 1"), "job_id": id_of_job},
                "job_id",
            ),
            (history, {"job_id": id_of_job}, "job_id"),
        ):
            tx.execute(
                text(_statement(table, own, key, NUMBERS[name])),
                {"first": first, "last": last, "job": _stored(name, job_id)},
            )


def _statement(table: Table, own: dict[str, str], key: str, numbers: str) -> str:
    names = [column.name for column in table.columns]
    values = ", ".join(own.get(name, f"t.{name}") for name in names)
    return f"INSERT INTO {table.name} ({', '.join(names)}) SELECT {values} FROM {table.name} t, {numbers} WHERE t.{key} = :job"  # noqa: S608 - our names


def _stored(dialect: str, job_id: str) -> str:
    return job_id.replace("-", "") if dialect == "sqlite" else job_id


def settle(db: Engine) -> None:
    """Let the database learn how much there is and write down what it owes, at once and not in the
    middle of a measurement.
    """
    if db.dialect.name == "sqlite":
        with db.connect() as connection:
            connection.exec_driver_sql("COMMIT")  # the one that each of our connections begins with
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        return
    admin = create_engine(db.url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with admin.connect() as connection:
        for table in (jobs, operations, history):
            connection.execute(text(f"VACUUM (ANALYZE) {table.name}"))
        with suppress(DBAPIError):  # not every role may
            connection.execute(text("CHECKPOINT"))
