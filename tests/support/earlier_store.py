"""A store of an earlier release with jobs in flight: how one is filled and kept, and how a test gets it back.

Kept for each database in tests/fixtures/<revision>/: the schema and the rows apart, so that rows can
also be written after the migration, as a worker of the earlier release does. `service.json` is what
the service of these jobs knows. To keep the store of a release, run at its code:
    python -m tests.support.earlier_store
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Engine, text

from surefoot import NotYet, Rejected, Retry, Saga
from surefoot.app.store.schema_version import head
from tests.support.postgres_server import PostgresServer, find_binaries
from tests.support.world import Participant, World, after_effect, diamond

FIXTURES = Path(__file__).parents[1] / "fixtures"
LOST = "the worker was lost after the effect"
# job -> the state it has to end in, where its messages and its worker are lost
IN_FLIGHT = {
    "pending": "completed",
    "first running": "completed",
    "waits after an unknown outcome": "completed",
    "polls": "completed",
    "half of a fork": "completed",
    "joined": "completed",
    "past the pivot": "completed",
    "fails past the pivot": "completed",
    "undoing": "failed",
    "undo running": "failed",
    "cancelled under way": "cancelled",
    "holds a lock": "completed",
    "waits for the lock": "completed",
    "undo given up": "attention",
    "given up past the pivot": "attention",
}
ENDED = {"was completed": "completed", "was refused": "failed", "was cancelled": "cancelled"}
FORK = ("first", "left", "right")


class Wanted(BaseModel):
    name: str = "x"


def keys_of(o: Wanted) -> list[str]:
    return [f"thing:{o.name}"]


def locking(service: Participant) -> Saga[Any]:
    """work -> seal, of which each job holds its thing to the end."""
    saga = Saga("locking", version=1, input=Wanted, locks=keys_of)

    @saga.step(lane="a", retry=Retry(limit=5))
    def work(ctx: Any, o: Wanted) -> str:
        return service.act(ctx)

    @work.compensate(fidelity="exact")
    def undo_work(ctx: Any, o: Wanted) -> None:
        service.act(ctx)

    @saga.step(lane="b", after=[work], undo=None, note="stays")
    def seal(ctx: Any, o: Wanted) -> str:
        return service.act(ctx)

    return saga


def sagas(service: Participant) -> list[Saga[Any]]:
    return [diamond(service), locking(service)]


class Filling:
    """Jobs that stop at a place each: their messages are lost, and so is their worker."""

    def __init__(self, world: World) -> None:
        self.world, self.script = world, world.service.script

    def job(self, *steps: str) -> str:
        """A job whose steps have been delivered so far."""
        job = self.world.submit()
        for step in steps:
            self.deliver(step)
        return job

    def deliver(self, task: str) -> None:
        self.world.deliver(self.world.next(f"{self.world.saga}.{task}"))

    def claimed(self, job: str, step: str, kind: str = "action") -> str:
        assert self.world.claim(job, step, kind) is not None
        return job

    def refused(self, *undone: str) -> str:
        """A job that is undone because its pivot was refused."""
        self.script["commit", "action"] = [Rejected("refused")]
        return self.job(*FORK, "commit", *(f"{step}.undo" for step in undone))

    def landed(self, job: str) -> str:
        """Time passes for it, so these jobs come first."""
        self.world.land(job)
        return job

    def scripted(self, step: str, said: list[Any], *steps: str, kind: str = "action") -> str:
        self.script[step, kind] = said
        return self.job(*steps)

    def cancelled(self, *steps: str) -> str:
        job = self.job(*steps)
        self.world.cancel(job)
        return job

    def undo_given_up(self) -> str:
        self.script["left", "undo"] = [RuntimeError("no refund today") for _ in range(10)]
        return self.applied(self.refused())

    def given_up(self) -> str:
        said = [RuntimeError("no mail today") for _ in range(20)]
        return self.applied(self.scripted("after", said))

    def fill(self) -> dict[str, str]:
        """Returns: job -> its id, of IN_FLIGHT and ENDED."""
        lost = after_effect(RuntimeError(LOST))
        made = {
            "was completed": self.applied(self.job()),
            "was refused": self.applied(self.refused()),
            "was cancelled": self.applied(self.cancelled("first")),
            "undo given up": self.undo_given_up(),
            "given up past the pivot": self.given_up(),
        }
        for name, stops in {
            "pending": self.job,
            "first running": lambda: self.claimed(self.job(), "first"),
            "waits after an unknown outcome": lambda: self.scripted("first", [lost], "first"),
            "polls": lambda: self.scripted("left", [NotYet("30s")], "first", "left"),
            "half of a fork": lambda: self.claimed(self.job("first", "left"), "right"),
            "joined": lambda: self.job(*FORK),
            "past the pivot": lambda: self.job(*FORK, "commit"),
            "fails past the pivot": lambda: self.scripted(
                "after", [RuntimeError("away")], *FORK, "commit", "after"
            ),
            "undoing": lambda: self.refused("left"),
            "undo running": lambda: self.claimed(self.refused(), "left", "undo"),
            "cancelled under way": lambda: self.cancelled("first", "left"),
        }.items():
            made[name] = stops()
            self.world.broker.waiting.clear()
        self.world.saga = "locking"
        made["holds a lock"] = self.job("work")
        made["waits for the lock"] = self.job("work")
        self.world.broker.waiting.clear()
        return made


# --- kept -----------------------------------------------------------------------------------------
@dataclass
class Kept:
    """What lies beside the rows. `at`: when they were written."""

    at: datetime
    jobs: dict[str, str]
    service: Participant


def keep(place: Path) -> None:
    """Fill a store of each database, and write both down."""
    place.mkdir(parents=True)
    server = PostgresServer(find_binaries() or Path())
    with tempfile.TemporaryDirectory() as folder:
        server.start()
        try:
            _keep(f"sqlite:///{folder}/store.sqlite", place / "sqlite", _dump_sqlite)
            postgres = server.url(server.create_store())
            _keep(postgres, place / "postgresql", _dump_postgresql)
        finally:
            server.stop()


def _keep(url: str, place: Path, dump: Any) -> None:
    place.mkdir()
    service = Participant()
    world = World(url, sagas(service), service)
    made = Filling(world).fill()
    assert world.broken() == {}
    at = datetime.now(UTC)
    done = {"done": service.done, "order": service.order}
    known = {"at": at.isoformat(), "jobs": made, "service": done}
    (place / "service.json").write_text(json.dumps(known, indent=1) + "\n")
    world.db.dispose()
    for name, said in dump(world.db).items():
        (place / f"{name}.sql").write_text(said)


def _dump_sqlite(db: Engine) -> dict[str, str]:
    rows: list[str] = []
    with db.connect() as connection:
        made = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
        schema = list(connection.scalars(text(f"{made} ORDER BY type = 'trigger', rowid")))
        tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        for table in list(connection.scalars(text(f"{tables} ORDER BY rowid"))):
            names = [row.name for row in connection.execute(text(f"PRAGMA table_info({table})"))]
            quoted = " || ', ' || ".join(f'quote("{name}")' for name in names)
            values = list(connection.scalars(text(f"SELECT {quoted} FROM {table}")))
            if values:
                into = f"INSERT INTO {table} ({', '.join(names)}) VALUES"
                lines = ",\n".join(f"({value})" for value in values)
                (schema if table == "alembic_version" else rows).append(f"{into}\n{lines}")
    return {part: ";\n".join(said) + ";\n" for part, said in (("schema", schema), ("rows", rows))}


def _dump_postgresql(db: Engine) -> dict[str, str]:
    url = db.url.set(drivername="postgresql").render_as_string(hide_password=False)
    common = ["--no-owner", "--no-privileges", "--no-comments", url]
    rows = ["--data-only", "--column-inserts", "--rows-per-insert=1000"]
    version = _pg_dump([*rows, "--table=alembic_version", *common])
    return {
        "schema": _pg_dump(["--schema-only", *common]) + version,
        "rows": _pg_dump([*rows, "--exclude-table=alembic_version", *common]),
    }


def _pg_dump(words: list[str]) -> str:
    """Without what only psql reads, and without settings that other versions may not have."""
    command = shutil.which("pg_dump") or "pg_dump"
    said = subprocess.run([command, *words], check=True, capture_output=True, text=True).stdout
    left_out = re.compile(r"\\|--|SET |SELECT pg_catalog\.set_config|CREATE SCHEMA public|$")
    return "".join(f"{line}\n" for line in said.splitlines() if not left_out.match(line))


# --- read -----------------------------------------------------------------------------------------
def read(db: Engine, revision: str) -> Kept:
    found = json.loads((_place(db, revision) / "service.json").read_text())
    service = Participant(
        done=found["service"]["done"],
        order=[(step, kind) for step, kind in found["service"]["order"]],
    )
    return Kept(datetime.fromisoformat(found["at"]), found["jobs"], service)


def restore(db: Engine, revision: str, part: str) -> None:
    """Run one of the files, `schema` or `rows`, on this database."""
    said = (_place(db, revision) / f"{part}.sql").read_text()
    raw = db.raw_connection()
    try:
        if db.dialect.name == "sqlite":
            raw.driver_connection.executescript(said)  # type: ignore[union-attr]
        else:
            raw.cursor().execute(said)
        raw.commit()
    finally:
        raw.close()


def _place(db: Engine, revision: str) -> Path:
    return FIXTURES / revision / db.dialect.name


if __name__ == "__main__":
    keep(FIXTURES / str(head()))
