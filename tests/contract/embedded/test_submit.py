"""Jobs from Python: the door of HTTP, and the caller's own transaction."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel
from sqlalchemy import (
    Column,
    Engine,
    Integer,
    MetaData,
    Table,
    create_engine,
    func,
    make_url,
    select,
    text,
)
from sqlalchemy.orm import Session

import surefoot
from surefoot import Context, Saga
from surefoot.app.addresses import driver_url
from surefoot.app.embedded import client as clients
from surefoot.app.embedded import in_transaction
from surefoot.app.errors import (
    Conflict,
    InvalidInput,
    KeyReused,
    NotFound,
    RequestError,
    SettingsError,
    TooManyOpenJobs,
    UnknownSaga,
)
from surefoot.app.rules.planner import Plan
from surefoot.app.store.catalogue import register
from surefoot.app.store.migrate import upgrade
from surefoot.app.store.session import open_engine, reading
from surefoot.app.store.tables import acts, history, idempotency_keys, jobs, operations
from tests.support.stores import open_new_store
from tests.support.waiting import wait_until


class Gift(BaseModel):
    to: str
    pieces: int = 1


gift = Saga("gift", version=1, input=Gift, examples=[Gift(to="ada")])


@gift.step(lane="parcels", undo=None, note="the parcel stays where it is")
def send(ctx: Context, g: Gift) -> str:
    return g.to


invoices = Table("invoices", MetaData(), Column("id", Integer, primary_key=True))


@pytest.fixture
def store(ready_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    db = open_new_store(ready_url)
    register(db, [gift])
    monkeypatch.setenv("SUREFOOT_DATABASE_URL", ready_url)
    clients.close()
    yield db
    clients.close()
    db.dispose()


@pytest.fixture
def team(store: Engine, ready_url: str) -> Iterator[Engine]:
    """The team's own engine on the same database, with a table of theirs."""
    engine = create_engine(driver_url(ready_url))
    invoices.create(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def published(store: Engine, monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """What leaves: a broker that takes everything."""
    left: list[Plan] = []

    class Broker:
        def publish(self, plan: Plan) -> bool:
            left.append(plan)
            return True

    monkeypatch.setattr(clients.client(), "publisher", Broker())
    return left


def count(db: Engine, table: Table) -> int:
    with reading(db) as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


# --- the door --------------------------------------------------------------------------------------------------
def test_given_a_saga_when_submitted_then_a_job_of_its_tenant_with_key_and_tags(
    store: Engine, published: list[Plan]
) -> None:
    asked = {"key": "g-1", "tenant": "north", "tags": ["may", "may", "ada"]}
    ref = surefoot.submit(gift, Gift(to="ada"), **asked)  # type: ignore[typeddict-item]
    view = ref.read()
    assert (view.saga, view.state, view.outcome, view.ended) == ("gift", "pending", "open", False)
    assert [(step.name, step.attempts) for step in view.steps] == [("send", 0)]
    assert view.whole["tags"] == ["may", "ada"]
    assert len(published) == 1

    again = surefoot.submit("gift", {"to": "ada", "pieces": 1}, **asked)  # type: ignore[typeddict-item]
    assert (again.id, again.replayed, ref.replayed) == (ref.id, True, False)
    with pytest.raises(KeyReused):
        surefoot.submit(gift, Gift(to="bob"), key="g-1", tenant="north")
    assert surefoot.submit(gift, Gift(to="bob"), key="g-1").id != ref.id  # another tenant's key
    with pytest.raises(InvalidInput):
        surefoot.submit("gift", {"to": 7})
    with pytest.raises(UnknownSaga):
        surefoot.submit("gifts", {"to": "ada"})
    with pytest.raises(TypeError, match=r"submit\(\) has no kee=\. Did you mean 'key'\?"):
        surefoot.submit(gift, Gift(to="ada"), kee="g-2")  # type: ignore[call-arg]


def test_given_a_saga_that_nobody_has_run_when_submitted_then_it_is_made_known(
    store: Engine, published: list[Plan]
) -> None:
    fresh = Saga("fresh", version=1, input=Gift, examples=[Gift(to="ada")])
    fresh.step(lane="parcels", undo=None, note="stays")(send.fn)
    assert surefoot.submit(fresh, Gift(to="ada")).read().saga == "fresh"


def test_given_as_many_open_jobs_as_may_be_when_submitted_then_refused_as_over_http(
    store: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUREFOOT_OPEN_JOBS", "1")
    clients.close()
    surefoot.submit(gift, Gift(to="ada"))
    with pytest.raises(TooManyOpenJobs):
        surefoot.submit(gift, Gift(to="bob"))


def test_given_a_job_when_cancelled_then_it_is_undone_and_the_reason_is_on_record(
    store: Engine, published: list[Plan]
) -> None:
    ref = surefoot.submit(gift, Gift(to="ada"))
    with pytest.raises(TimeoutError, match=r"job gift-\w+ is pending after 0 s"):
        ref.wait(0)
    surefoot.cancel(ref.id, why="ordered twice")
    assert surefoot.job(ref.id).wait(1).state == "cancelled"
    with reading(store) as connection:
        assert connection.execute(select(acts.c.act, acts.c.reason)).all() == [
            ("cancel", "ordered twice")
        ]
    with pytest.raises(Conflict):
        ref.cancel(why="once more")
    with pytest.raises(NotFound):
        surefoot.job("0" * 32)


def test_given_no_store_when_asked_then_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUREFOOT_DATABASE_URL", f"sqlite:///{tmp_path / 'none.sqlite'}")
    clients.close()
    with pytest.raises(SettingsError, match=r"^SUREFOOT_DATABASE_URL: there is no store at"):
        surefoot.job("0" * 32)
    (tmp_path / "none.sqlite").touch()
    with pytest.raises(SettingsError, match="the store is at revision none, this code needs"):
        surefoot.submit(gift, Gift(to="ada"))


# --- the caller's transaction ----------------------------------------------------------------------------------
@pytest.mark.parametrize("session", [False, True], ids=["connection", "session"])
def test_given_a_transaction_when_committed_then_the_job_is_there_and_leaves_and_else_nothing_is(
    team: Engine, store: Engine, published: list[Plan], session: bool
) -> None:
    for number, ends_well in ((1, False), (2, True)):
        with Session(team) if session else team.connect() as tx:
            tx.execute(invoices.insert().values(id=number))
            ref = surefoot.submit(gift, Gift(to="ada"), key="g", tags=["x"], connection=tx)
            assert count(store, jobs) == 0
            tx.commit() if ends_well else tx.rollback()
        assert count(store, jobs) == count(store, idempotency_keys) == int(ends_well)
        assert count(store, operations) == count(store, history) == int(ends_well)
    wait_until(lambda: len(published) == 1, 10, what="the message")
    assert ref.read().state == "pending"
    with team.begin() as tx:
        again = surefoot.submit(gift, Gift(to="ada"), key="g", connection=tx)
        assert (again.id, again.replayed) == (ref.id, True)


def test_given_a_refused_job_when_the_caller_goes_on_then_its_transaction_is_as_it_was(
    team: Engine, store: Engine, published: list[Plan]
) -> None:
    surefoot.submit(gift, Gift(to="ada"), key="g")
    with team.begin() as tx:
        for asked in ("gift", "gifts"):
            with pytest.raises((KeyReused, UnknownSaga)):
                surefoot.submit(asked, {"to": "bob"}, key="g", connection=tx)
        tx.execute(invoices.insert().values(id=1))
    assert (count(store, invoices), count(store, jobs)) == (1, 1)


def test_given_a_transaction_that_begins_with_the_job_when_rolled_back_then_no_job(
    team: Engine, store: Engine
) -> None:
    """SQLite's driver begins with the first write: a savepoint before it would be committed with its release."""
    with team.connect() as tx:
        surefoot.submit(gift, Gift(to="ada"), connection=tx)
        tx.rollback()
    assert count(store, jobs) == 0
    with team.connect() as tx, tx.begin_nested() as inner:
        surefoot.submit(gift, Gift(to="ada"), connection=tx)
        inner.rollback()
        tx.commit()
    assert count(store, jobs) == 0


def test_given_a_connection_elsewhere_when_submitted_then_refused_with_both_names(
    store: Engine, tmp_path: Path, fresh_postgres: str
) -> None:
    others = [f"sqlite:///{tmp_path / 'theirs.sqlite'}", "sqlite://", driver_url(fresh_postgres)]
    for url in others:
        engine = create_engine(url)
        said = r"^the connection is to .*, and the store is in .* \(SUREFOOT_DATABASE_URL\)"
        with engine.connect() as tx, pytest.raises(RequestError, match=said):
            surefoot.submit(gift, Gift(to="ada"), connection=tx)
        engine.dispose()
    with pytest.raises(RequestError, match="takes a Connection or Session of SQLAlchemy, not str"):
        surefoot.submit(gift, Gift(to="ada"), connection="x")  # type: ignore[arg-type]


# --- PostgreSQL alone ------------------------------------------------------------------------------------------
def test_given_a_connection_that_commits_by_itself_when_submitted_then_refused(
    ready_postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_new_store(ready_postgres).dispose()
    monkeypatch.setenv("SUREFOOT_DATABASE_URL", ready_postgres)
    clients.close()
    engine = create_engine(driver_url(ready_postgres), isolation_level="AUTOCOMMIT")
    with engine.connect() as tx, pytest.raises(RequestError, match="commits each statement"):
        surefoot.submit(gift, Gift(to="ada"), connection=tx)
    engine.dispose()
    clients.close()


def test_given_our_tables_in_a_schema_of_their_own_when_submitted_then_theirs_are_not_touched(
    fresh_postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A team may have a table `jobs`, and an `alembic_version`, too."""
    team = create_engine(driver_url(fresh_postgres))
    with team.begin() as tx:
        tx.execute(text("CREATE SCHEMA durable"))
        tx.execute(text("CREATE TABLE jobs (name text)"))
        tx.execute(text("CREATE TABLE alembic_version (version_num text)"))
    place = make_url(fresh_postgres).update_query_dict({"options": "-csearch_path=durable"})
    url = place.render_as_string(hide_password=False)
    db = open_engine(url)
    upgrade(db)
    register(db, [gift])
    monkeypatch.setenv("SUREFOOT_DATABASE_URL", url)
    clients.close()
    with team.begin() as tx:
        tx.execute(text("INSERT INTO jobs VALUES ('theirs')"))
        ref = surefoot.submit(gift, Gift(to="ada"), key="g", connection=tx)
        tx.execute(text("INSERT INTO jobs VALUES ('theirs, too')"))
    assert ref.read().state == "pending"
    with team.connect() as tx:
        assert tx.execute(text("SELECT count(*) FROM jobs")).scalar_one() == 2
        assert tx.execute(text("SELECT count(*) FROM durable.surefoot_jobs")).scalar_one() == 1
    clients.close()
    db.dispose()
    team.dispose()


# --- a process that dies at the worst moment -------------------------------------------------------------------
DIES = """
import os, signal, sys
from sqlalchemy import create_engine
import surefoot
from surefoot.app.config import driver_url
from surefoot.app.embedded import in_transaction
from tests.contract.embedded.test_submit import Gift, gift

in_transaction.Watcher.look_for = lambda *_: None  # it dies before it has published
engine = create_engine(driver_url(os.environ["SUREFOOT_DATABASE_URL"]))
with engine.begin() as tx:
    ref = surefoot.submit(gift, Gift(to="ada"), connection=tx)
print(ref.id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_given_a_process_killed_after_its_commit_when_the_relay_looks_then_the_message_is_unsent(
    store: Engine, ready_url: str
) -> None:
    env = os.environ | {
        "SUREFOOT_DATABASE_URL": ready_url,
        "SUREFOOT_BROKER_URL": "redis://127.0.0.1:1/0",
        "PYTHONPATH": str(Path.cwd()),
    }
    done = subprocess.run(
        [sys.executable, "-c", DIES], env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    from surefoot.app.store import message_reads

    with reading(store) as connection:
        unsent = message_reads.unsent(connection, 0.0, 10)
    assert [str(row.job_id) for row in unsent] == [done.stdout.strip()]


def test_given_a_job_that_is_never_committed_when_watched_then_the_watcher_gives_up(
    store: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_transaction, "LOOK_S", 0.001)
    assert not in_transaction._seen(store, "0" * 32, 0.0)
