"""The catalogue: every definition some process has had the code of, with its graph and the closure of its edges."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Protocol

from sqlalchemy import Connection, Engine, insert, select, update

from app.clock import now
from app.saga.graph import Graph
from app.store.session import insert_or, transaction
from app.store.tables import definitions, edges


class Defined(Protocol):
    """What the catalogue asks of a saga."""

    @property
    def graph(self) -> Graph: ...
    @property
    def digest(self) -> str: ...
    @property
    def input_schema(self) -> dict[str, object]: ...


def register(db: Engine, sagas: Iterable[Defined]) -> None:
    """Write the definitions this process has; safe from many processes at once. The newest registration of a version is current."""
    for saga in sagas:
        transaction(db, partial(_register_one, saga=saga))


def _register_one(tx: Connection, saga: Defined) -> None:
    d = definitions.c
    newest = tx.execute(
        select(d.digest).where(d.saga == saga.graph.saga, d.version == saga.graph.version).order_by(d.registered_at.desc()).limit(1)
    ).scalar_one_or_none()
    if newest == saga.digest:
        return
    if tx.execute(update(definitions).where(d.digest == saga.digest).values(registered_at=now())).rowcount == 1:
        return
    row = {
        "digest": saga.digest,
        "saga": saga.graph.saga,
        "version": saga.graph.version,
        "graph": saga.graph.to_json(),
        "input_schema": saga.input_schema,
    }
    new = insert_or(tx, definitions).values(**row, registered_at=now()).on_conflict_do_nothing().returning(d.digest)
    if tx.execute(new).first() is None:
        return  # another process was faster, with the same definition
    graph = saga.graph
    closure = [
        {"digest": saga.digest, "before": before, "after": after, "direct": after in graph.followers[before]}
        for before, reach in graph.reachable.items()
        for after in reach
    ]
    if closure:
        tx.execute(insert(edges), closure)
