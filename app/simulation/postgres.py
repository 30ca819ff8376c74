"""A simulation's store on PostgreSQL, so that schedules run the statements that only PostgreSQL
runs.

It lies in a schema of its own, dropped in the end. In that schema are functions of the names of
PostgreSQL's clocks, which come before the real ones on the search path: so "the time is the
database's" is the virtual time here too. What the schema needs to know of the simulation (the time,
and which actor is on the stage) it is told before a transaction, if that has changed.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Engine, event, make_url

from surefoot.app.addresses import driver_url
from surefoot.app.simulation import monitors
from surefoot.app.simulation.stage import Actor
from surefoot.app.simulation.store import FIRST_ROUND, SimStore, ordered
from surefoot.app.store.session import open_engine
from surefoot.app.testkit.clock import VirtualClock

PREFIX = "surefoot_simulation_"
CLOCKS = ("now", "statement_timestamp", "clock_timestamp", "transaction_timestamp")
TOLD = ("sim.now", "sim.role", "sim.fence")
_TELL = "SELECT " + ", ".join(f"set_config('{name}', %s, false)" for name in TOLD)


def run_prefix() -> str:
    """How the schemas of one run of `surefoot simulate` begin, whichever process makes them."""
    return f"{PREFIX}{uuid.uuid4().hex[:12]}_"


def drop_schemas(url: str, prefix: str) -> None:
    """Drop what the processes of a run have made."""
    with _connected(url) as connection:
        asked = "SELECT nspname FROM pg_namespace WHERE starts_with(nspname, %s)"
        for (name,) in connection.execute(asked, [prefix]).fetchall():
            connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))


def _connected(url: str) -> psycopg.Connection[Any]:
    plain = make_url(driver_url(url)).set(drivername="postgresql")
    return psycopg.connect(plain.render_as_string(hide_password=False), autocommit=True)


class PostgresStore(SimStore):
    """In a schema of the database at `url`.

    Raises: psycopg.Error when that cannot be reached or written to.
    """

    asked_each = 4  # all in one is dear here; the triggers see every change

    def __init__(self, url: str, prefix: str) -> None:
        super().__init__()
        self._writes = 0
        schema = f"{prefix}{os.getpid()}"
        with _connected(url) as connection:
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
        self.engine = self._opened(url, schema)
        with self._cursor() as cursor:
            cursor.execute(_functions())
        self.build()
        with self._cursor() as cursor:
            cursor.execute(monitors.in_plpgsql())
            cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", [schema])
            tables = ordered([name for (name,) in cursor.fetchall()])
            cursor.execute(
                "ALTER TABLE surefoot_acts DISABLE TRIGGER USER"
            )  # a schedule begins without any
            for table in tables:
                cursor.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
        self._deletes = [f"DELETE FROM {table}" for table in tables]  # noqa: S608 - our own

    def empty(self) -> None:
        """Rows are deleted: after a TRUNCATE every plan is made anew, which takes longer than a
        schedule.
        """
        with self._cursor() as cursor:
            cursor.execute(";".join([*self._deletes, FIRST_ROUND.format(_zoned(self.clock))]))

    def ask(self, question: str, *values: Any) -> list[Any]:
        with self._cursor() as cursor:
            found: list[Any] = cursor.execute(question.replace("?", "%s"), values).fetchall()
        return found

    def changes(self) -> int:
        return self._writes

    def broken(self, slack_ago: str, bound_ago: str) -> list[tuple[str, str]]:
        times = {"slack_ago": f"{slack_ago}+00", "bound_ago": f"{bound_ago}+00"}
        with self._cursor() as cursor:
            asked = cursor.execute(monitors.POSTGRESQL, times, prepare=True)
            found: list[tuple[str, str]] = asked.fetchall()
        return found

    # --- how --------------------------------------------------------------------------------------
    def _opened(self, url: str, schema: str) -> Engine:
        engine = open_engine(url, pool_size=1)
        own = f"SET search_path = {schema}, pg_catalog; SET synchronous_commit = off"
        event.listen(engine, "connect", lambda connection, _record: connection.execute(own))
        event.listen(engine, "checkout", self._tell)  # before BEGIN: a rollback would take it back
        event.listen(engine, "before_cursor_execute", self._note)
        return engine

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        with self.engine.connect() as connection:
            raw: Any = connection.connection.dbapi_connection
            with raw.cursor() as cursor:
                yield cursor

    def _tell(self, raw: Any, record: Any, _proxy: Any) -> None:
        actor = self.stage.current
        told = (_zoned(self.clock), _role(actor), _fence(actor))
        if record.info.get("told") != told:
            raw.execute(_TELL, told)
            record.info["told"] = told

    def _note(self, _connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        self._writes += not statement.startswith(("SELECT", "BEGIN"))


def _functions() -> str:
    now = "SELECT current_setting('sim.now')::timestamptz"
    answers = [(name, "timestamptz", now) for name in (*CLOCKS, "sim_now")]
    answers.append(("sim_role", "text", "SELECT nullif(current_setting('sim.role'), '')"))
    answers.append(("sim_fence", "int", "SELECT nullif(current_setting('sim.fence'), '')::int"))
    return ";\n".join(
        f"CREATE FUNCTION {name}() RETURNS {kind} LANGUAGE sql STABLE AS $sim$ {body} $sim$"
        for name, kind, body in answers
    )


def _zoned(clock: VirtualClock) -> str:
    return f"{clock.text()}+00"


def _role(actor: Actor | None) -> str:
    return str(actor.role) if actor is not None else ""


def _fence(actor: Actor | None) -> str:
    return str(actor.fence) if actor is not None and actor.fence is not None else ""
