"""Reads of the definitions that jobs are pinned to.

A digest names one graph for ever, so a process reads it once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    String,
    and_,
    bindparam,
    case,
    literal_column,
    null,
    select,
)

from surefoot.app.clock import ago
from surefoot.app.errors import NotFound, UnreadableDefinition
from surefoot.app.saga.graph import Graph
from surefoot.app.saga.inputs import has_secrets
from surefoot.app.saga.words import NO_WORDS, Words
from surefoot.app.store.tables import definitions, jobs

j = jobs.c


@dataclass(frozen=True)
class Definition:
    """What a digest names."""

    digest: str
    version: int
    graph: Graph
    input_schema: dict[str, Any]
    words: Words = NO_WORDS

    @cached_property
    def has_secrets(self) -> bool:
        """Whether its input can have any."""
        return has_secrets(self.input_schema)


_definitions: dict[str, Definition] = {}


def definition(connection: Connection, digest: str) -> Definition:
    """What a digest names. Raises: NotFound, UnreadableDefinition."""
    if digest not in _definitions:
        c = definitions.c
        columns = (c.saga, c.version, c.graph, c.input_schema, c.words)
        row = connection.execute(select(*columns).where(c.digest == digest)).one_or_none()
        if row is None:
            raise NotFound(f"no definition {digest} is known")
        if len(_definitions) > 1000:
            _definitions.clear()
        _definitions[digest] = _read_definition(digest, row)
    return _definitions[digest]


def forget_definition(digest: str) -> None:
    """Its words or sentences were changed: this process reads it anew."""
    _definitions.pop(digest, None)


def _read_definition(digest: str, row: Any) -> Definition:
    """Raises: UnreadableDefinition, whatever is wrong with the row."""
    try:
        graph, words = Graph.from_json(row.graph), Words.from_json(row.words)
    except Exception as error:
        named = f"the definition of saga {row.saga}, version {row.version} ({digest})"
        told = f"{type(error).__name__}: {error}"[:200]
        raise UnreadableDefinition(
            f"{named} cannot be read by this code: {told}", digest=digest
        ) from error
    return Definition(digest, row.version, graph, row.input_schema, words)


def graph_of(connection: Connection, digest: str) -> Graph:
    """The pinned graph of a digest. Raises: NotFound, UnreadableDefinition."""
    return definition(connection, digest).graph


LIVE_WORKER_S = 30.0  # a worker not seen for so long is not counted as serving
LIVE: ColumnElement[bool] = and_(
    definitions.c.served_at.is_not(None), definitions.c.served_at > ago(LIVE_WORKER_S)
)


def order_of_definitions(own: ColumnElement[str] | None = None) -> tuple[ColumnElement[Any], ...]:
    """The order of one saga's definitions, the current one first.

    What a live worker has comes first, the highest version before others, and of one version what
    was made last. Where no worker is there: `own` (the digest that the asking process has), then
    what workers had last.
    """
    c = definitions.c
    order = [case((LIVE, 1), else_=0).desc(), case((LIVE, c.version), else_=0).desc()]
    if own is not None:
        order.append(case((LIVE, 0), (c.digest == own, 1), else_=0).desc())
    order.append(case((LIVE, null()), else_=c.served_at).desc().nulls_last())
    return (*order, c.version.desc(), c.registered_at.desc(), c.digest)


def graph_of_job(connection: Connection, job_id: str) -> Graph:
    """The graph that a job is pinned to. Raises: NotFound."""
    digest = connection.execute(select(j.digest).where(j.id == job_id)).scalar_one_or_none()
    if digest is None:
        raise NotFound("there is no such job")
    return graph_of(connection, digest)


_CURRENT = (
    select(definitions.c.digest)
    .where(
        definitions.c.saga == bindparam("p_saga", type_=String), definitions.c.retired_at.is_(None)
    )
    .order_by(*order_of_definitions(bindparam("p_own", type_=String)))
    .limit(literal_column("1", Integer))
)


def current_definition(connection: Connection, saga: str, own: str = "") -> Definition | None:
    """The definition that a new job is pinned to (`order_of_definitions`), unless all are retired.

    `own`: the asking process's digest.
    """
    digest = connection.execute(_CURRENT, {"p_saga": saga, "p_own": own}).scalar_one_or_none()
    return definition(connection, digest) if digest is not None else None


def saga_names(connection: Connection) -> list[str]:
    """Every saga the catalogue knows, by name."""
    return list(
        connection.scalars(select(definitions.c.saga).distinct().order_by(definitions.c.saga))
    )
