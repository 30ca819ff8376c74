"""What a new operation's row holds, from the pinned graph."""

from __future__ import annotations

from typing import Any

from surefoot.app.rules.states import Kind, OpState
from surefoot.app.saga.graph import Graph
from surefoot.app.store.ids import operation_id


def new_operation(
    graph: Graph,
    job: tuple[str, str],
    step: str,
    kind: Kind,
    *,
    pending_dependencies: int,
    riding: bool = False,
    started: bool = False,
) -> dict[str, Any]:
    """The columns of an operation that nobody has claimed. With none pending it is queued and
    ready from the first instant.

    `job`: its id and its tenant's.
    """
    job_id, tenant_id = job
    node = graph.by_name[step]
    if kind == Kind.UNDO and node.compensation is None:
        raise ValueError(f"step {step} has no compensation")
    if kind == Kind.CONFIRM and node.confirm is None:
        raise ValueError(f"step {step} has no confirmation")
    limits = node.limits_of(kind)
    return {
        "id": operation_id(job_id, step, "", kind),
        "job_id": job_id,
        "tenant_id": tenant_id,
        "step": step,
        "kind": kind,
        "item": "",
        "rank": graph.rank(step, kind),
        "lane": node.lane_of(kind),
        "state": OpState.QUEUED if pending_dependencies == 0 or riding else OpState.PENDING,
        "pending_dependencies": pending_dependencies,
        "queue_s": limits.queue_timeout_s,
        "stall_s": limits.heartbeat_timeout_s,
        "max_attempts": limits.attempts,
        "effectful": node.effectful if kind == Kind.ACTION else kind == Kind.CONFIRM,
        "irrevocable": kind == Kind.CONFIRM or (kind == Kind.ACTION and node.irrevocable),
        "fidelity": _fidelity(graph, step) if kind == Kind.ACTION else None,
        "started": started,
    }


def _fidelity(graph: Graph, step: str) -> str | None:
    node = graph.by_name[step]
    if node.compensation is not None:
        return node.compensation.fidelity
    return "irreversible" if node.irreversible else None
