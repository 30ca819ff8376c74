"""What every job costs finds its rows by their keys, however a plan was made: a plan is kept, and tables grow under it.

PostgreSQL takes a small table whole, and takes a partial index that it believes to be empty; such a plan, made in the first second of
an installation, would be used until somebody analyzes the table, over rows and dead entries that only grow.
"""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import Connection, event

from surefoot.app.engine.jobs.submit import Submission, submit
from surefoot.app.store.ids import new_id
from surefoot.app.store.views import job_revision
from surefoot.app.store.views.revision import OF_MANY, OF_ONE
from tests.contract.engine.test_any_graph import build
from tests.contract.views.shop import Shop
from tests.support.world import Participant, World

pytestmark = pytest.mark.slow

SWEEPS_OWN = (
    "unsent",
    "turn",
    "sent",
    "claim_deadline_at",
    "leased",
    "worker_id",
    "due",
    "stranded",
)


@pytest.fixture
def shop(ready_postgres: str) -> Any:
    shop = Shop(ready_postgres)
    yield shop
    shop.close()


def test_given_small_tables_when_a_job_runs_then_no_statement_reads_a_table_or_a_sweeps_index(
    shop: Shop,
) -> None:
    shop.order()
    shop.drain()
    sent: dict[str, Any] = {}
    event.listen(
        shop.db,
        "before_cursor_execute",
        lambda c, cur, sql, params, ctx, many: sent.setdefault(sql, params),
    )
    shop.order()
    shop.drain()
    moves = {sql: values for sql, values in sent.items() if "operations" in sql}
    assert len(moves) >= 4, "submit, mark sent, claim, complete"
    for sql, values in moves.items():
        with shop.db.connect() as connection:
            plan = "\n".join(row[0] for row in connection.exec_driver_sql("EXPLAIN " + sql, values))
        assert "Seq Scan" not in plan, f"{sql}\n{plan}"
        assert not [name for name in SWEEPS_OWN if f"ix_operations_{name}" in plan], (
            f"{sql}\n{plan}"
        )


def kept_plans(connection: Connection) -> dict[str, str]:
    """The plan that PostgreSQL keeps, for any values, of each statement that this connection has prepared."""
    connection.exec_driver_sql("SET LOCAL plan_cache_mode = force_generic_plan")
    found = {}
    prepared = connection.exec_driver_sql(
        "SELECT name, statement, cardinality(parameter_types) FROM pg_prepared_statements"
    ).all()
    for name, statement, values in prepared:
        of_any = f"({', '.join(['NULL'] * values)})" if values else ""
        found[statement] = "\n".join(
            row[0] for row in connection.exec_driver_sql(f'EXPLAIN EXECUTE "{name}"{of_any}')
        )
    return found


def test_given_small_tables_when_plans_are_kept_then_each_finds_its_rows_by_a_key(
    shop: Shop,
) -> None:
    for _ in range(6):  # psycopg prepares a statement when it comes for the sixth time
        shop.order()
        shop.drain()
    with shop.db.connect() as connection, connection.begin():
        plans = kept_plans(connection)
    assert_by_key(plans, "submit, mark sent, claim, complete")


def assert_by_key(plans: dict[str, str], what: str) -> None:
    moves = {sql: plan for sql, plan in plans.items() if "operations" in sql}
    assert len([sql for sql in moves if sql.startswith(("WITH", "UPDATE"))]) >= len(
        what.split(", ")
    ), what
    for sql, plan in moves.items():
        for scan, below in pairwise([*plan.splitlines(), ""]):
            if "Index Scan" in scan or "Index Only Scan" in scan:
                assert "Index Cond" in below, f"{sql}\n{plan}"
        assert "ix_jobs_" not in plan, f"{sql}\n{plan}"
        assert "Index Cond: (job_id = " not in plan, (
            f"one operation is looked for among all of its job: {sql}\n{plan}"
        )


MADE_ANEW = 5  # PostgreSQL makes the first five plans of a statement for its values, and then decides whether one for all is as good


@pytest.mark.parametrize("many", [0, 3000], ids=["small tables", "large tables"])
def test_given_many_jobs_when_they_run_then_their_moves_are_not_planned_anew_each_time(
    ready_postgres: str, many: int
) -> None:
    shape = {
        "a": [],
        "b": ["a"],
        **{step: ["b"] for step in "cdef"},
        "join": list("cdef"),
        "end": ["join"],
    }
    service = Participant()
    world = World(ready_postgres, [build(service, shape, batchable=set("cdef"))], service)
    for _ in range(many // len(shape)):
        submit(
            world.db,
            world.settings,
            world.registry,
            Submission(tenant_id=world.tenant, saga="shape", input={}, actor="test"),
        )
    with world.db.connect() as connection, connection.begin():
        connection.exec_driver_sql("ANALYZE")
    for _ in range(14):
        for world.runs_on in (True, False):
            world.submit()
            world.drain()
    with world.db.connect() as connection:
        counted = connection.exec_driver_sql(
            "SELECT statement, custom_plans, generic_plans FROM pg_prepared_statements WHERE statement ~ '^(WITH|UPDATE)'"
        ).all()
    assert len([sql for sql, _, kept in counted if kept]) >= 6, (
        "submit, mark sent, claim, complete with and without a ride, open a fork"
    )
    again = {
        sql: made
        for sql, made, _ in counted
        if made > MADE_ANEW and not re.search(r"WHERE \w+\.id = ANY", sql)
    }  # those of several rows are
    assert again == {}
    world.db.dispose()


def test_given_small_tables_when_plans_of_packs_are_kept_then_each_finds_its_rows_by_a_key(
    ready_postgres: str,
) -> None:
    members = ("a", "b", "c", "d")
    service = Participant()
    world = World(
        ready_postgres,
        [
            build(
                service,
                {step: [] for step in members} | {"join": list(members)},
                batchable=set(members),
            )
        ],
        service,
    )
    world.runs_on = True
    for _ in range(6):
        world.submit()
        world.drain()
    with world.db.connect() as connection, connection.begin():
        plans = kept_plans(connection)
    assert any("ridden AS" in sql for sql in plans), (
        "a member was claimed by the completion of another"
    )
    assert_by_key(plans, "submit, mark sent, claim, complete, complete the last")
    world.db.dispose()


@pytest.mark.parametrize("many", [1, 20], ids=["alone", "with others"])
def test_given_small_tables_when_a_job_is_polled_then_it_is_found_by_its_id_and_not_among_its_tenants(
    shop: Shop, many: int
) -> None:
    job_id = shop.order()
    sent: list[tuple[str, Any]] = []
    event.listen(
        shop.db,
        "before_cursor_execute",
        lambda c, cur, sql, params, ctx, many: sent.append((sql, params)),
    )
    job_revision(shop.db, job_id, shop.tenant)
    one = {"job": job_id, "tenant": shop.tenant, "key": new_id()}
    together = json.dumps([{"place": place, **one} for place in range(many)])
    polls = [sent[0], (OF_ONE, one), (OF_MANY, (together,))]
    for sql, values in polls:
        with shop.db.connect() as connection:
            plan = "\n".join(row[0] for row in connection.exec_driver_sql("EXPLAIN " + sql, values))
        assert "pk_jobs" in plan, plan
        assert "pk_api_keys" in plan or sql == sent[0][0], plan  # it names no key
        assert "ix_jobs_" not in plan, plan
        assert "uq_operations_job_id_step_kind_item on surefoot_operations f" in plan, plan
        assert "Seq Scan" not in plan, plan
