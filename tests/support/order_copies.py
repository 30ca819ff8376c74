"""Copies of the order saga under other names: the same functions and services, so that a fault can be meant for one order.

A fault's target is SAGA.STEP. With one copy for each fault, many orders meet one fault each in one set of processes.
"""

from __future__ import annotations

from surefoot import Retry, Saga
from surefoot.workers.sagas.order.models import OrderRequest
from surefoot.workers.sagas.order.saga import order

HASTY = Retry(limit=5, backoff="200ms", cap="500ms")


def copy_of_order(
    name: str, *, retry: Retry = HASTY, undo_retry: Retry = HASTY, timeout: str = "60s"
) -> Saga[OrderRequest]:
    """The order saga as `name`: its own graph, lanes and functions, these policies for all of its steps."""
    copy = Saga(name, version=1, input=OrderRequest, examples=order.examples)
    for step in order:
        made = copy.step(
            lane=step.lane,
            after=list(step.after),
            retry=retry,
            timeout=timeout,
            pivot=step.pivot,
            irreversible=step.irreversible,
            on_unknown=step.on_unknown,  # type: ignore[arg-type]
        )(step.fn)
        if step.undo is not None:
            made.compensate(
                step.undo.fidelity,  # type: ignore[arg-type]
                note=step.undo.note,
                retry=undo_retry,
                timeout=timeout,
                settle_after=step.undo.settle_after_s,
            )(step.undo.fn)
        if step.finder is not None:
            made.probe(step.finder)
    return copy
