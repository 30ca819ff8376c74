"""All or nothing: what the service's book says of each ended job, against what its end promises."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import select

from surefoot.app.rules.decisions import Resolution
from surefoot.app.rules.events import HistoryEvent, stored
from surefoot.app.rules.states import ENDED, JobState, Kind, OpState
from surefoot.app.saga.graph import Graph
from surefoot.app.simulation.actions import Director
from surefoot.app.store.tables import operations


def violations(director: Director) -> list[str]:
    """What is not so, a sentence each; empty when every ended job has what it says."""
    graphs = {saga.digest: saga.graph for saga in director.world.sagas}
    found: list[str] = []
    for job in director.world.view.jobs():
        if job.state in ENDED:
            found += [
                f"{job.state} job: {what}" for what in _of_job(director, graphs[job.digest], job)
            ]
    return found


def _of_job(director: Director, graph: Graph, job: Any) -> Iterator[str]:
    service, waived = (
        director.service,
        {(step, kind) for id_, step, kind in director.waived if id_ == job.id},
    )
    actions, undos = service.of(job.id, Kind.ACTION), service.of(job.id, Kind.UNDO)
    if job.state == JobState.COMPLETED:
        missing = [
            n.name
            for n in graph.nodes
            if n.name not in actions and (n.name, "action") not in waived
        ]
        if missing:
            yield f"{', '.join(missing)} never took effect"
        if undos:
            yield f"{', '.join(undos)} undone"
        confirmed, let_go = set(service.of(job.id, Kind.CONFIRM)), _let_go(director, job)
        if confirmed & let_go:
            yield f"{', '.join(sorted(confirmed & let_go))} confirmed, although a person had waived it"
        unconfirmed = {n.name for n in graph.nodes if n.confirm} - confirmed - let_go
        if unconfirmed - {step for step, kind in waived if kind == Kind.CONFIRM}:
            yield f"{', '.join(sorted(unconfirmed))} never confirmed"
        return
    shown = service.of(job.id, Kind.CONFIRM)
    if shown:
        yield f"{', '.join(shown)} confirmed, although the job was undone"
    for node in graph.nodes:
        if (
            node.compensation is not None
            and node.name in actions
            and node.name not in undos
            and (node.name, "undo") not in waived
        ):
            yield f"{node.name} took effect and was never undone"
        if node.irrevocable and node.name in actions:
            yield f"{node.name} took effect, from where there is no way back"
    for number, step in enumerate(undos):
        early = graph.reachable[step] & set(undos[number + 1 :])
        if early:
            yield f"{step} was undone before {', '.join(sorted(early))}, which came after it"
    yield from _account(director, job, actions, undos)
    yield from _cause(director, job)


def _cause(director: Director, job: Any) -> Iterator[str]:
    """Why a job turned is said once, by its turn; whatever fails afterwards says something else."""
    turns = [
        str((line.detail or {}).get("reason"))
        for line in director.world.view.history(job.id)
        if line.event in stored(HistoryEvent.COMPENSATION_STARTED)
    ]
    if [job.reason] != turns:
        yield f"it says {job.reason!r} as why it turned, and turned for {turns}"


def _let_go(director: Director, job: Any) -> set[str]:
    """The steps of a job that a person waived, by the engine's own account."""
    o = operations.c
    return {
        row.step
        for row in director.world.view.all(
            select(o.step).where(
                o.job_id == job.id, o.kind == Kind.ACTION, o.resolution == Resolution.WAIVED
            )
        )
    }


def _account(director: Director, job: Any, actions: list[str], undos: list[str]) -> Iterator[str]:
    """The engine's own account of an undone job agrees with the book."""
    query = select(
        operations.c.step, operations.c.kind, operations.c.state, operations.c.resolution
    ).where(operations.c.job_id == job.id)
    for row in director.world.view.all(query):
        if row.state != OpState.COMPLETED:
            continue
        if row.kind == Kind.ACTION and row.step not in actions:
            yield f"{row.step} is completed on record, and never took effect"
        if row.kind == Kind.UNDO and row.step in actions and row.step not in undos:
            yield f"the undo of {row.step} is completed on record, and never happened"
