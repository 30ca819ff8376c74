"""What every job costs finds its rows by their keys, however a plan was made: a plan is kept, and tables grow under it.

PostgreSQL takes a small table whole, and takes a partial index that it believes to be empty; such a plan, made in the first second of
an installation, would be used until somebody analyzes the table, over rows and dead entries that only grow.
"""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event

from tests.contract.views.shop import Shop

SWEEPS_OWN = ("unsent", "sent", "queue_by", "leased", "boot", "due", "stranded")


@pytest.fixture
def shop(fresh_postgres: str) -> Any:
    shop = Shop(fresh_postgres)
    yield shop
    shop.close()


def test_given_small_tables_when_a_job_runs_then_no_statement_reads_a_table_or_a_sweeps_index(shop: Shop) -> None:
    shop.order()
    shop.drain()
    sent: dict[str, Any] = {}
    event.listen(shop.db, "before_cursor_execute", lambda c, cur, sql, params, ctx, many: sent.setdefault(sql, params))
    shop.order()
    shop.drain()
    moves = {sql: values for sql, values in sent.items() if "operations" in sql}
    assert len(moves) >= 4, "submit, mark sent, claim, complete"
    for sql, values in moves.items():
        with shop.db.connect() as connection:
            plan = "\n".join(row[0] for row in connection.exec_driver_sql("EXPLAIN " + sql, values))
        assert "Seq Scan" not in plan, f"{sql}\n{plan}"
        assert not [name for name in SWEEPS_OWN if f"ix_operations_{name}" in plan], f"{sql}\n{plan}"
