"""An UPDATE is built once for each set of columns, and sets what it was given."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Update, bindparam, case, update
from sqlalchemy.dialects import postgresql, sqlite

from surefoot.app.clock import after, now
from surefoot.app.store.shapes import Shaped
from surefoot.app.store.tables import Id, operations


@pytest.fixture
def shaped() -> Shaped:
    def this() -> Update:
        return update(operations).where(operations.c.id == bindparam("p_id", type_=Id))

    return Shaped(this, lambda change: change)


def _sql(statement: Any, given: dict[str, Any]) -> str:
    return " ".join(str(statement.compile(dialect=sqlite.dialect(), column_keys=[*given])).split())


def test_given_the_same_columns_when_set_to_other_values_then_the_statement_is_the_same(
    shaped: Shaped,
) -> None:
    first, _ = shaped.setting({"wait_reason": "retry", "due_at": after(5.0), "error": None})
    second, given = shaped.setting({"wait_reason": "lock", "due_at": after(9.0), "error": {"a": 1}})
    assert first is second
    assert given == {"wait_reason": "lock", "p_due_at_s": 9.0, "error": {"a": 1}}


def test_given_times_and_values_when_set_then_each_column_gets_its_own(shaped: Shaped) -> None:
    sql = _sql(*shaped.setting({"wait_reason": "x", "due_at": after(5.0), "finished_at": now()}))
    assert "wait_reason=?" in sql
    assert "due_at=strftime('%Y-%m-%d %H:%M:%f000', 'now', (?) || ' seconds')" in sql
    assert "finished_at=strftime('%Y-%m-%d %H:%M:%f000', 'now')" in sql


def test_given_a_value_and_a_time_of_one_column_when_set_then_they_are_two_statements(
    shaped: Shaped,
) -> None:
    with_time, _ = shaped.setting({"sent_at": now()})
    without, given = shaped.setting({"sent_at": None})
    assert with_time is not without
    assert given == {"sent_at": None}


def test_given_any_other_expression_when_set_then_it_is_taken_as_it_is(shaped: Shaped) -> None:
    rest = case((operations.c.fence > 3, "a"), else_="b")
    statement, given = shaped.setting({"wait_reason": rest, "error": None})
    compiled = statement.compile(dialect=postgresql.dialect())
    assert "CASE WHEN" in str(compiled)
    assert given == {}


def test_given_a_time_that_is_a_column_when_set_then_it_is_taken_as_it_is(shaped: Shaped) -> None:
    statement, given = shaped.setting({"claim_deadline_at": after(operations.c.queue_s)})
    assert "operations.queue_s" in _sql(statement, given)
