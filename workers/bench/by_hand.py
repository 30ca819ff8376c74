"""The same commits as the engine's, written by hand for three steps in a row: bare drivers, no ORM,
no Celery.

It knows no retry, no undo, no lease and no other graph. It tells how much of the engine's cost is
its promises (the commits and messages) and how much is its generality.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import make_url

from surefoot.app.store.ids import new_id
from surefoot.workers.bench.counting import count

STEPS = 3
PATIENCE_S = 10.0
TABLES = (
    "CREATE TABLE IF NOT EXISTS bench_jobs (id text PRIMARY KEY, state text NOT NULL, seq int NOT NULL)",
    """CREATE TABLE IF NOT EXISTS bench_operations (id text PRIMARY KEY, job_id text NOT NULL REFERENCES bench_jobs, step int NOT NULL,
       state text NOT NULL, missing int NOT NULL, attempts int NOT NULL, token text, lease_until float, sent_at float, result text)""",
    "CREATE TABLE IF NOT EXISTS bench_history (job_id text NOT NULL, seq int NOT NULL, event text NOT NULL, PRIMARY KEY (job_id, seq))",
)
CLAIM = """UPDATE bench_operations SET state = 'running', attempts = attempts + 1, token = %s, lease_until = %s
           WHERE id = %s AND state = 'queued' AND missing = 0 RETURNING job_id, step"""
LOOK = "SELECT seq FROM bench_jobs WHERE id = %s"  # SQLite's transaction has the whole file
LOCK = "SELECT seq FROM bench_jobs WHERE id = %s FOR NO KEY UPDATE"
COMPLETE = """UPDATE bench_operations SET state = 'completed', result = 'null', lease_until = NULL
              WHERE id = %s AND token = %s AND state = 'running' RETURNING id"""
RELEASE = """UPDATE bench_operations SET missing = missing - 1, state = 'queued', sent_at = %s
             WHERE id = %s AND state = 'pending' RETURNING id"""


class Store:
    """One connection, PostgreSQL's or SQLite's.

    Times are seconds since the epoch, by this machine's clock.
    """

    def __init__(self, url: str) -> None:
        parts = make_url(url)
        self._sqlite = parts.get_backend_name() == "sqlite"
        self._connection: Any
        if self._sqlite:
            self._connection = sqlite3.connect(
                parts.database or "", timeout=PATIENCE_S, isolation_level=None
            )
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
                self._connection.execute(f"PRAGMA {pragma}")
        else:
            plain = parts.set(drivername="postgresql").render_as_string(hide_password=False)
            self._connection = psycopg.connect(plain, autocommit=True)

    def close(self) -> None:
        self._connection.close()

    def make_tables(self) -> None:
        for statement in TABLES:
            self._run(statement)

    def submit(self, now: float) -> tuple[str, str]:
        """A job of three operations. Returns (its id, its first operation)."""
        job = new_id()
        with self._transaction():
            self._run("INSERT INTO bench_jobs VALUES (%s, 'running', 1)", job)
            for step in range(STEPS):
                state = "queued" if step == 0 else "pending"
                row = (f"{job}.{step}", job, step, state, min(step, 1))
                self._run(
                    "INSERT INTO bench_operations VALUES (%s, %s, %s, %s, %s, 0, NULL, NULL, NULL, NULL)",
                    *row,
                )
            self._run("INSERT INTO bench_history VALUES (%s, 1, 'submitted')", job)
        return job, f"{job}.0"

    def mark_sent(self, operation: str, now: float) -> None:
        with self._transaction():
            self._run(
                "UPDATE bench_operations SET sent_at = %s WHERE id = %s AND state = 'queued'",
                now,
                operation,
            )

    def claim(self, operation: str, token: str, lease_until: float) -> tuple[str, int] | None:
        """(job, step) of an operation taken; None: somebody else has it."""
        with self._transaction():
            rows = self._run(CLAIM, token, lease_until, operation)
        return (str(rows[0][0]), int(rows[0][1])) if rows else None

    def complete(self, operation: str, token: str, job: str, step: int, now: float) -> str | None:
        """Complete a claimed operation; the next one, marked sent, or None when the job has ended."""
        following = f"{job}.{step + 1}"
        with self._transaction():
            seq = self._run(LOOK if self._sqlite else LOCK, job)[0][0]
            if not self._run(COMPLETE, operation, token):
                raise RuntimeError("the claim was lost")
            more = bool(self._run(RELEASE, now, following))
            self._run("INSERT INTO bench_history VALUES (%s, %s, 'completed')", job, seq + 1)
            state = "running" if more else "completed"
            self._run(
                "UPDATE bench_jobs SET state = %s, seq = %s WHERE id = %s", state, seq + 1, job
            )
        return following if more else None

    def completed(self, jobs: list[str]) -> int:
        """How many of these jobs have ended; they are all that were made since the first of them."""
        found = self._run(
            "SELECT count(*) FROM bench_jobs WHERE id >= %s AND state = 'completed'", min(jobs)
        )
        return int(found[0][0])

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        if self._sqlite:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
        else:
            with self._connection.transaction():
                yield
        count("commits")

    def _run(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        cursor = self._connection.execute(
            statement.replace("%s", "?") if self._sqlite else statement, values
        )
        return list(cursor.fetchall()) if cursor.description else []
