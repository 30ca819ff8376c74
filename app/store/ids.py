"""Ids: UUIDv7, so that rows made together lie together in an index."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, String, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement

from surefoot.app.clock import ago
from surefoot.app.store.host import HERE


def new_id() -> str:
    """A new UUIDv7 as text."""
    return HERE.new_id()


def first_id_since(connection: Connection, seconds: float) -> str:
    """Below every id that was made in the last seconds, by the store's clock."""
    then: datetime = connection.execute(select(ago(seconds))).scalar_one()
    milliseconds = max(0, int(then.timestamp() * 1000)) & (1 << 48) - 1
    return str(UUID(int=milliseconds << 80))


def operation_id(job_id: str, step: str, item: str, kind: str) -> str:
    """The id of an operation, the same for ever: the job's time, then a digest of the key.

    It is the Celery task id of every message of this operation, so Flower shows one line for it
    however often it is rung, and a worker finds the row from the message's arguments alone. It has
    the shape of a UUIDv7.
    """
    digest = hashlib.sha256(f"{job_id}:{step}:{item}:{kind}".encode()).digest()
    raw = bytearray(UUID(job_id).bytes[:6] + digest[:10])
    raw[6] = 0x70 | (raw[6] & 0x0F)
    raw[8] = 0x80 | (raw[8] & 0x3F)
    return str(UUID(bytes=bytes(raw)))


def is_id(text: str) -> bool:
    """Whether this text can be an id at all."""
    try:
        return str(UUID(text)) == text.lower() and len(text) == 36
    except (ValueError, AttributeError, TypeError):
        return False


class tail_of(FunctionElement[str]):  # noqa: N801 - reads as SQL
    """The last five hexadecimal digits of an id's column: what a job's short name is made of."""

    type = String()
    inherit_cache = True


@compiles(tail_of, "sqlite")
def _tail_sqlite(element: tail_of, compiler: SQLCompiler, **kw: Any) -> str:
    return f"substr({compiler.process(element.clauses, **kw)}, 28)"  # 32 digits without dashes


@compiles(tail_of)
def _tail_postgresql(element: tail_of, compiler: SQLCompiler, **kw: Any) -> str:
    return f"right({compiler.process(element.clauses, **kw)}::text, 5)"
