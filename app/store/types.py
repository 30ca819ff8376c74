"""The types of what the store is asked and what it answers."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, BindParameter, Boolean, ColumnElement, Text, bindparam
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


class Ids(TypeDecorator[Collection[str]]):
    """Any number of ids as one parameter: an array on PostgreSQL, JSON on SQLite, which keeps ids
    as 32 hex digits.
    """

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return (
            dialect.type_descriptor(ARRAY(Text))
            if dialect.name == "postgresql"
            else dialect.type_descriptor(Text())
        )

    def process_bind_param(self, value: Collection[str] | None, dialect: Dialect) -> Any:
        found = value or ()
        if dialect.name == "postgresql":
            return (
                list(found) or None
                # "among none" would be true of any partial index, so that PostgreSQL might walk
                # through one
            )
        return json.dumps([UUID(one).hex for one in found])


class one_of(FunctionElement[bool]):  # noqa: N801 - reads as SQL
    """Whether a column of ids holds one of a parameter's.

    The statement's text is the same for any number of them.
    """

    type = Boolean()
    inherit_cache = True

    def __init__(self, column: ColumnElement[Any], name: str) -> None:
        ids: BindParameter[Any] = bindparam(name, type_=Ids())
        super().__init__(column, ids)


@compiles(one_of, "sqlite")
def _one_of_sqlite(element: one_of, compiler: SQLCompiler, **kw: Any) -> str:
    column, ids = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({ids}))"  # noqa: S608 - made of compiled clauses


@compiles(one_of)
def _one_of_postgresql(element: one_of, compiler: SQLCompiler, **kw: Any) -> str:
    column, ids = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"{column} = ANY(CAST({ids} AS UUID[]))"


class results_by_step(FunctionElement[Any]):  # noqa: N801 - reads as SQL
    """An aggregate: {step: result} of rows, results as JSON."""

    type = Json
    inherit_cache = True

    def __init__(self, step: ColumnElement[Any], result: ColumnElement[Any]) -> None:
        super().__init__(step, result)


@compiles(results_by_step, "sqlite")
def _results_sqlite(element: results_by_step, compiler: SQLCompiler, **kw: Any) -> str:
    step, result = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"json_group_object({step}, json({result}))"


@compiles(results_by_step)
def _results_postgresql(element: results_by_step, compiler: SQLCompiler, **kw: Any) -> str:
    step, result = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"jsonb_object_agg({step}, {result})"
