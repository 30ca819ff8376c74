"""Questions about who is at work: the relay, workers for every lane and every definition, and
time-outs that fit each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Engine

from surefoot.app.config import Settings
from surefoot.app.doctor.findings import Finding, fail, ok, some, warn
from surefoot.app.saga.graph import Graph, Limits
from surefoot.app.store.session import reading
from surefoot.app.store.views import stats
from surefoot.app.store.views.health import idle_queues

VISIBILITY_FACTOR, VISIBILITY_SLACK_S = 2.0, 300.0  # as a worker computes it


def relay(settings: Settings, db: Engine) -> Iterator[Finding]:
    with reading(db) as connection:
        lease = stats.relay_lease(connection)
    fix = "start one: surefoot relay (two are better); a frozen one: kill it"
    if lease is None:
        yield fail(
            "relay",
            "no relay has ever been active on this store: what is lost or due stays so",
            fix,
        )
    elif lease.left_s <= 0:
        yield fail(
            "relay",
            f"no relay is active: the lease of {_holder(lease.holder)} lapsed {-lease.left_s:.0f} s ago",
            fix,
        )
    elif (age_s := settings.lease_seconds - lease.left_s) > settings.lease_seconds / 2:
        yield warn(
            "relay",
            f"{_holder(lease.holder)} began its last round {age_s:.0f} s ago",
            "is it frozen, or the store very slow? see its log",
        )
    else:
        yield ok(
            "relay",
            f"{_holder(lease.holder)} is active, its last round began {max(0.0, age_s):.1f} s ago",
        )


def _holder(holder: str) -> str:
    host, pid, *_ = f"{holder}:?".split(":")
    return f"{host}, pid {pid}"


def workers(settings: Settings, db: Engine) -> Iterator[Finding]:
    """Does every lane of every known definition have a worker? Missing ones with work waiting are
    worse.
    """
    with reading(db) as connection:
        live = stats.live_workers(connection)
        graphs = [Graph.from_json(row.graph) for row in stats.definitions_in_use(connection)]
        waiting = {lane.queue: lane for lane in stats.lanes(connection)}
    hosts = sorted({worker.host for worker in live})
    if live:
        yield ok(
            "workers",
            f"{len(live)} live on {some(hosts)}, {sum(worker.concurrency for worker in live)} operations at once",
        )
    else:
        yield fail(
            "workers",
            "no live worker: jobs are accepted and nothing of them is done",
            "start one: surefoot worker",
        )
    if db.dialect.name == "sqlite" and len(hosts) > 1:
        yield fail(
            "workers",
            f"the store is a SQLite file, and workers run on {some(hosts)}",
            "use PostgreSQL (DATABASE_URL) for several machines",
        )
    served = {lane for worker in live for lane in worker.lanes}
    missing = sorted({lane for graph in graphs for lane in lanes_of(graph)} - served)
    for lane in missing if live else []:
        ready = [row for name, row in waiting.items() if name.removesuffix(".undo") == lane]
        fix = f"surefoot worker --lanes {lane}"
        if ready:
            depth, oldest_s = sum(row.depth for row in ready), max(row.oldest_s for row in ready)
            yield fail(
                "lanes",
                f"lane {lane} has no live worker; {depth} operations wait, one for {oldest_s:.0f} s",
                fix,
            )
        else:
            yield warn("lanes", f"lane {lane} has no live worker", fix)
    idle = idle_queues(live)
    for name in idle:
        yield _not_consumed(name, waiting.get(name))
    for queue in waiting.values():
        if queue.oldest_s > settings.health_wait_seconds and not queue.unattended:
            told = f"the oldest of {queue.depth} operations in {queue.queue} has waited for {queue.oldest_s:.0f} s"
            fix = f"{_more_workers(queue.queue)} (SUREFOOT_HEALTH_WAIT_SECONDS is {settings.health_wait_seconds:g})"
            yield warn("waiting", told, fix)
        if queue.unattended:
            many = f"{queue.unattended} operation{'s have' if queue.unattended > 1 else ' has'}"
            said = f"{many} waited in {queue.queue} past the queue time-out, one for {queue.oldest_s:.0f} s; nothing is given up"
            yield fail("waiting", said, _more_workers(queue.queue))
    if live and not missing and not idle:
        yield ok(
            "lanes",
            f"every lane has a live worker: {some(sorted(served), 10)}"
            if served
            else "no lane is known yet",
        )


def _not_consumed(name: str, waits: stats.Lane | None) -> Finding:
    """Workers are there, and say that they serve this queue; the broker gives them nothing of it."""
    said = f"no worker takes messages from {name}, although some announce its lane"
    fix = "look into the log of the workers of this lane, and start them again"
    if waits is None:
        return warn("lanes", said, fix)
    return fail(
        "lanes", f"{said}; {waits.depth} operations wait, one for {waits.oldest_s:.0f} s", fix
    )


def _more_workers(queue: str) -> str:
    return f"start workers, or more of them: surefoot worker --lanes {queue.removesuffix('.undo')}"


def versions(_settings: Settings, db: Engine) -> Iterator[Finding]:
    """Are there jobs pinned to a definition that no live worker has?"""
    with reading(db) as connection:
        pinned = stats.open_versions(connection)
        stranded = stats.stranded_versions(connection) if pinned else []
    for one in stranded:
        definition = f"{one.saga} version {one.version} ({one.digest})"
        said = f"{one.jobs} open job{'s are' if one.jobs > 1 else ' is'} pinned to {definition}, which no live worker has"
        fix = f"run a worker with that code until they have ended; so that no more come: surefoot sagas retire {one.saga} {one.digest}"
        yield fail("versions", said, fix)
    if not stranded:
        yield ok(
            "versions",
            f"every open job's definition has a live worker ({sum(v.jobs for v in pinned)} open)",
        )


def unreadable(_settings: Settings, db: Engine) -> Iterator[Finding]:
    """Is there stored data that the workers' code cannot read?"""
    with reading(db) as connection:
        found = stats.unread(connection)
    for one in found:
        said = f"{one.count} operation{'s' if one.count > 1 else ''} of {one.saga}.{one.step} cannot be done: {one.said}"
        yield fail(
            "readable",
            said,
            "deploy code that reads it (the release before did); nothing is given up meanwhile",
        )
    if not found:
        yield ok("readable", "no operation waits for code that can read its data")


def definitions(_settings: Settings, db: Engine) -> Iterator[Finding]:
    """Are there open jobs whose stored definition this code cannot read?"""
    with reading(db) as connection:
        found = stats.unreadable_definitions(connection)
    for version, said in found:
        jobs = f"{version.jobs} open job{'s are' if version.jobs > 1 else ' is'} pinned to it"
        yield fail(
            "definitions",
            f"{said}; {jobs}",
            "run the release that wrote it, here too; nothing is given up meanwhile",
        )
    if not found:
        yield ok("definitions", "every open job's definition can be read")


def time_outs(settings: Settings, db: Engine) -> Iterator[Finding]:
    """Step within lane, lane within visibility time-out: of every worker, since Redis keeps all
    unacknowledged messages together.
    """
    with reading(db) as connection:
        live = stats.live_workers(connection)
        graphs = [Graph.from_json(row.graph) for row in stats.definitions_in_use(connection)]
        known = stats.graphs_of(
            connection, [digest for worker in live for digest in worker.digests]
        )
    lanes_by_digest = {digest: lanes_of(Graph.from_json(graph)) for digest, graph in known.items()}
    wrong = 0
    for graph in graphs:
        for task, lane, limits in _operations_of(graph):
            limit_s = settings.lane_limit_seconds(lane)
            if limits.timeout_s > limit_s:
                wrong += 1
                said = f"{task} may take {limits.timeout_s:g} s, an operation of lane {lane} {limit_s:g} s"
                yield fail(
                    "time-outs",
                    said,
                    f'lower its timeout= to {limit_s:g} s, or give the step lane="slow"',
                )
    if settings.broker_url.startswith("amqp"):
        yield (
            ok("time-outs", "every step's timeout fits its lane")
            if not wrong
            else warn("time-outs", f"{wrong} steps do not fit their lane", "see above")
        )
        return
    hidden_s = {
        (worker.host, worker.pid): _visibility_s(settings, worker, lanes_by_digest)
        for worker in live
    }
    longest = max(
        ((settings.lane_limit_seconds(lane), lane) for worker in live for lane in worker.lanes),
        default=None,
    )
    shortest = min(live, key=lambda worker: hidden_s[worker.host, worker.pid], default=None)
    if (
        longest is not None
        and shortest is not None
        and hidden_s[shortest.host, shortest.pid] < longest[0]
    ):
        wrong += 1
        back_s, lanes = hidden_s[shortest.host, shortest.pid], some(shortest.lanes)
        said = (
            f"the worker of {lanes} (pid {shortest.pid} on {shortest.host}) has messages put back after {back_s:g} s, those of lane "
            f"{longest[1]} too, where an operation may take {longest[0]:g} s; the copies are dropped, and cost a delivery each"
        )
        yield warn(
            "time-outs",
            said,
            f"give it the code of the saga with lane {longest[1]}: a worker reckons with every lane it knows",
        )
    if not wrong:
        told = (
            f" and {longest[0]:g} s of the longest lane the visibility time-out, {min(hidden_s.values()):g} s"
            if longest
            else ""
        )
        yield ok("time-outs", f"every step's timeout fits its lane{told}")


def _visibility_s(settings: Settings, worker: Any, lanes_by_digest: dict[str, set[str]]) -> float:
    """As a worker computes it: of every lane of every saga whose code it has, whichever it serves."""
    lanes = {lane for digest in worker.digests for lane in lanes_by_digest.get(digest, ())}
    longest = max(
        (settings.lane_limit_seconds(lane) for lane in lanes),
        default=settings.lane_limit_seconds(""),
    )
    return VISIBILITY_FACTOR * longest + VISIBILITY_SLACK_S


def lanes_of(graph: Graph) -> set[str]:
    """The lanes of its steps and undos."""
    return {lane for _, lane, _ in _operations_of(graph)}


def _operations_of(graph: Graph) -> Iterator[tuple[str, str, Limits]]:
    for node in graph.nodes:
        yield f"{graph.saga}.{node.name}", node.lane, node.limits
        if node.compensation is not None:
            yield f"{graph.saga}.{node.name}.undo", node.compensation.lane, node.compensation.limits
        if node.confirm is not None:
            yield f"{graph.saga}.{node.name}.confirm", node.lane, node.confirm
