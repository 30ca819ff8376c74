"""The sagas that can be run: their input, their graph, and how each step is undone."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, func, select

from surefoot.app.errors import NotFound
from surefoot.app.saga.graph import Graph, Node
from surefoot.app.store.definitions import current_definition, order_of_definitions
from surefoot.app.store.session import reading
from surefoot.app.store.tables import definitions
from surefoot.app.store.views.names import API


def sagas_view(db: Engine) -> dict[str, Any]:
    """{"items": the current version of every saga, by name}."""
    d = definitions.c
    newest = (
        func.row_number().over(partition_by=d.saga, order_by=order_of_definitions()).label("newest")
    )
    ranked = (
        select(d.saga, d.version, d.digest, d.graph, newest)
        .where(d.retired_at.is_(None))
        .subquery()
    )
    with reading(db) as connection:
        rows = connection.execute(
            select(ranked).where(ranked.c.newest == 1).order_by(ranked.c.saga)
        ).all()
    return {"items": [_head(Graph.from_json(row.graph), row.digest) for row in rows]}


def saga_names(db: Engine) -> list[str]:
    """Every saga that was ever registered, by name: jobs of a retired one are still there."""
    with reading(db) as connection:
        return list(
            connection.scalars(select(definitions.c.saga).distinct().order_by(definitions.c.saga))
        )


def saga_view(db: Engine, name: str, own: str = "") -> dict[str, Any]:
    """One saga: its head, `input` (JSON Schema), `graph`, `compensations` and `locks`.

    `own`: see `current_definition`.

    Raises: NotFound.
    """
    with reading(db) as connection:
        row = current_definition(connection, name, own)
    if row is None:
        raise NotFound(f"No saga of the name {name!r} is known.")
    graph = row.graph
    return _head(graph, row.digest) | {
        "input": row.input_schema,
        "graph": {
            "steps": [_step(node) for node in graph.nodes],
            "edges": [[a, n.name] for n in graph.nodes for a in n.after],
        },
        "compensations": [_compensation(node) for node in graph.nodes],
        "on_sla": graph.on_sla,
        "locks": {"on_locked": graph.locks.on_locked, "wait_seconds": graph.locks.wait_s}
        if graph.locks is not None
        else None,
    }


def _head(graph: Graph, digest: str) -> dict[str, Any]:
    return {
        "name": graph.saga,
        "version": graph.version,
        "digest": digest,
        "sla_seconds": graph.sla_s,
        "steps": [node.name for node in graph.nodes],
        "links": {"self": f"{API}/sagas/{graph.saga}"},
    }


def _step(node: Node) -> dict[str, Any]:
    return {
        "name": node.name,
        "lane": node.lane,
        "after": list(node.after),
        "pivot": node.pivot,
        "irreversible": node.irreversible,
        "attempts": node.limits.attempts,
        "timeout_seconds": node.limits.timeout_s,
        "queue_timeout_seconds": node.limits.queue_timeout_s if node.limits.gives_up else None,
        "heartbeat_timeout_seconds": node.limits.heartbeat_timeout_s,
        "note": node.note,
    }


def _compensation(node: Node) -> dict[str, Any]:
    """How this step is undone; `undo` null says that it is not, and `why`."""
    undo = node.compensation
    if undo is not None:
        return {
            "step": node.name,
            "undo": undo.name,
            "fidelity": undo.fidelity,
            "note": undo.note,
            "lane": undo.lane,
            "why": None,
        }
    why = "nothing to undo"
    if node.irrevocable:
        why = "the point of no return" if node.pivot else "after the point of no return"
    fidelity = "irreversible" if node.irreversible else None
    return {
        "step": node.name,
        "undo": None,
        "fidelity": fidelity,
        "note": "",
        "lane": None,
        "why": why,
    }
