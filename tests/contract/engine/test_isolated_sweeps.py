"""What a relay cannot handle stops nothing else: rows, duties and lanes are isolated from each other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import select, update

from surefoot import Rejected
from surefoot.app.doctor import fleet
from surefoot.app.doctor.findings import Level
from surefoot.app.doctor.jobs import left_behind
from surefoot.app.engine.relay.duties import broker_lost
from surefoot.app.engine.relay.duties.unclaimed import Unclaimed
from surefoot.app.errors import NotFound, StoreUnavailable, UnreadableDefinition
from surefoot.app.explain import why
from surefoot.app.gauges import Gauges
from surefoot.app.store import definitions as known_definitions
from surefoot.app.store import leases
from surefoot.app.store.dead_letters import DeadLetterFilter
from surefoot.app.store.session import reading
from surefoot.app.store.tables import definitions, operations
from surefoot.app.store.views import stats
from surefoot.app.store.views.dead_letters import letters_view
from surefoot.app.store.views.job_lists import list_jobs
from surefoot.app.store.views.jobs import job_view
from tests.support.world import LEASE_S, Participant, World, diamond

DOWN = RuntimeError("down")


@pytest.fixture
def world(ready_url: str, service: Participant) -> Iterator[World]:
    """A relay of few rows, which meets what it cannot read as one in production does."""
    made = World(ready_url, [diamond(service)], service, sweep_rows=2)
    made.sweeper.isolated.strict = False
    yield made
    known_definitions._definitions.clear()
    made.db.dispose()


def unreadable(world: World, job: str) -> None:
    """The job's definition is one that this code cannot read."""
    with world.db.begin() as tx:
        graph = tx.execute(select(definitions.c.graph)).scalar_one()
        spoilt = {**graph, "nodes": [{"what": "of another age"}]}
        tx.execute(update(definitions).values(graph=spoilt))
    known_definitions._definitions.clear()


def readable_again(world: World, graph: object) -> None:
    with world.db.begin() as tx:
        tx.execute(update(definitions).values(graph=graph))
    known_definitions._definitions.clear()


def graph_in_store(world: World) -> object:
    with reading(world.db) as connection:
        return connection.execute(select(definitions.c.graph)).scalar_one()


def dead_attempt(world: World) -> str:
    """A job whose first step is running in a worker that is no more."""
    job = world.submit()
    o = operations.c
    with world.db.begin() as tx:
        running = {
            "state": "running",
            "token": f"t{job}",
            "worker_id": "gone",
            "attempts": 1,
            "fence": 1,
        }
        at = tx.execute(select(o.ready_at).where(o.job_id == job, o.step == "first")).scalar_one()
        tx.execute(
            update(operations)
            .where(o.job_id == job, o.step == "first")
            .values(**running, lease_until=at, hard_deadline_at=at)
        )
    world.broker.waiting.clear()
    return job


def test_given_rows_at_the_head_that_cannot_be_handled_when_swept_then_those_behind_them_are(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison = [dead_attempt(world) for _ in range(3)]  # more than one read of two rows
    world.let_pass(1)
    healthy = dead_attempt(world)
    world.let_pass(LEASE_S + 1)
    ids = {str(world.operation(job, "first").id) for job in poison}
    expire = broken_for(ids)
    monkeypatch.setattr("surefoot.app.engine.relay.duties.expired.operations.expire", expire)
    rounds = [(world.sweep(), world.sweeper.isolated.failed.get("expired", 0)) for _ in range(3)]
    assert world.operation(healthy, "first").state != "running"
    assert sum(failed for _, failed in rounds) == 3, "each is counted once, and set aside"
    assert world.sweep() == {}


def broken_for(ids: set[str]):  # type: ignore[no-untyped-def]
    from surefoot.app.engine.jobs.operations import expire

    def spoilt(db, settings, operation_id, job_id, token):  # type: ignore[no-untyped-def]
        if str(operation_id) in ids:
            raise TypeError("this row cannot be handled")
        return expire(db, settings, operation_id, job_id, token)

    return spoilt


def test_given_a_row_that_the_relay_leaves_out_when_doctor_looks_then_its_job_is_named(
    world: World,
) -> None:
    job = dead_attempt(world)
    assert leases.acquire(world.db, "relay", "here:1:x", 600.0)
    assert [finding.level for finding in left_behind(world.settings, world.db)] == [Level.OK]
    world.let_pass(4 * LEASE_S + 60)
    (finding,) = left_behind(world.settings, world.db)
    assert finding.level == Level.FAIL
    assert job in finding.said
    assert "whose worker stopped answering" in finding.said


def test_given_a_definition_that_cannot_be_read_when_swept_then_timers_and_lost_messages_of_others_are_seen_to(
    world: World, service: Participant
) -> None:
    service.script["first", "action"] = [DOWN]
    waits = world.submit()
    world.drain()
    assert world.operation(waits, "first").state == "waiting"
    graph = graph_in_store(world)
    dead_attempt(world)
    unreadable(world, waits)
    world.let_pass(LEASE_S + 61)
    found = world.sweep()
    assert found["woken"] == 1
    assert world.sweeper.isolated.failed == {"expired": 1}
    readable_again(world, graph)


def test_given_a_definition_that_cannot_be_read_when_asked_about_then_why_doctor_and_metric_name_it(
    world: World, service: Participant
) -> None:
    job = world.submit()
    with reading(world.db) as connection:
        assert stats.unreadable_definitions(connection) == []
    (good,) = fleet.definitions(world.settings, world.db)
    assert good.level == Level.OK
    graph = graph_in_store(world)
    unreadable(world, job)
    told = why(world.db, job, None)
    digest = world.job(job).digest
    assert (told["state"], told["waiting_for"][0]["kind"]) == ("running", "definition")
    assert (
        f"definition of saga diamond, version 1 ({digest}) cannot be read by this code"
        in told["sentence"]
    )
    assert "Nothing is given up" in told["sentence"]
    with pytest.raises(NotFound):
        why(world.db, job, "00000000-0000-7000-8000-000000000000")
    (finding,) = fleet.definitions(world.settings, world.db)
    assert (finding.level, digest in finding.said, "1 open job is pinned" in finding.said) == (
        Level.FAIL,
        True,
        True,
    )
    sample = (
        f'surefoot_jobs_definition_unreadable{{digest="{digest}",saga="diamond",version="1"}} 1.0'
    )
    assert sample in Gauges(world.db, world.settings).text().decode()
    readable_again(world, graph)
    assert why(world.db, job, None)["waiting_for"][0]["kind"] != "definition"
    world.drain()
    assert world.state(job) == "completed"


def test_given_a_definition_that_cannot_be_read_when_listed_then_its_jobs_and_letters_are_there(
    world: World, service: Participant
) -> None:
    service.script["first", "undo"] = [Rejected("no refund")]
    service.script["last", "action"] = [Rejected("no")]
    job = world.submit()
    world.drain()
    assert world.state(job) == "attention"
    graph = graph_in_store(world)
    unreadable(world, job)
    with pytest.raises(UnreadableDefinition):
        job_view(world.db, job, None)
    ([listed], _), ([letter], _) = (
        list_jobs(world.db, None),
        letters_view(world.db, DeadLetterFilter()),
    )
    assert (listed["id"], listed["state"], listed["outcome"]) == (job, "attention", "open")
    assert (letter["job"], letter["actions"]) == (
        job,
        [],
    )  # to decide, one has to know what follows
    readable_again(world, graph)
    assert letters_view(world.db, DeadLetterFilter())[0][0]["actions"] == [
        "redrive",
        "mark-done",
        "waive",
    ]


def test_given_a_newer_release_s_definition_when_read_then_what_is_unknown_is_ignored(
    world: World,
) -> None:
    graph = graph_in_store(world)
    assert isinstance(graph, dict)
    newer = {
        **graph,
        "region": "eu",
        "nodes": [{**node, "region": "eu"} for node in graph["nodes"]],
    }
    for node in newer["nodes"]:
        node["limits"] = {**node["limits"], "burst": 3}
    readable_again(world, newer)
    dead_attempt(world)
    world.let_pass(LEASE_S + 1)
    assert world.sweep()["expired"] == 1
    assert world.sweeper.isolated.failed == {}


def test_given_a_duty_that_fails_when_swept_then_those_behind_it_are_done(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> int:
        raise StoreUnavailable("its statement took too long")

    monkeypatch.setattr(Unclaimed, "run_once", away)
    job = world.submit()
    world.broker.waiting.clear()
    world.let_pass(LEASE_S + 1)
    assert world.sweep()["lost"] == 1
    assert world.sweeper.isolated.failed == {"nobody_came": 1}
    assert world.broker.published[world.operation(job, "first").id] == 2


def test_given_a_backlog_on_one_lane_when_a_message_of_another_is_lost_then_it_is_rung_within_a_lease(
    world: World,
) -> None:
    backlog = [world.submit() for _ in range(5)]
    world.let_pass(LEASE_S + 5)
    job = world.submit()
    world.deliver(world.broker.waiting.pop())
    left = world.next(
        "diamond.left"
    ).message.operation_id  # the broker lost it; five messages wait on lane a
    world.let_pass(LEASE_S / 2)
    world.sweep()
    assert world.broker.published[left] == 1, "not before a lease is over"
    world.let_pass(LEASE_S / 2 + 1)
    assert world.sweep()["lost"] >= 1
    assert world.broker.published[left] == 2
    assert world.state(job) == "running"
    assert len(backlog) == 5


def test_given_a_lane_that_moves_when_swept_then_only_what_was_passed_over_is_rung(
    world: World, service: Participant
) -> None:
    world.sweep()
    lost = world.submit()
    world.broker.waiting.clear()
    world.let_pass(LEASE_S + 5)
    waits = [world.submit() for _ in range(3)]
    world.let_pass(500)
    seen: list[dict[str, int]] = []

    def meanwhile(_ctx: object) -> None:
        seen.append(world.sweep())
        seen.append(world.sweep())

    service.script["first", "action"] = [meanwhile]
    world.deliver(world.broker.waiting.pop(0))
    assert [found.get("lost", 0) for found in seen] == [1, 0]
    assert world.broker.published[world.operation(lost, "first").id] == 2
    assert {world.broker.published[world.operation(job, "first").id] for job in waits} == {1}


def test_given_a_queue_that_grows_shorter_when_swept_then_nothing_is_rung_until_it_stands(
    world: World,
) -> None:
    jobs = [world.submit() for _ in range(4)]
    world.let_pass(LEASE_S + 5)
    world.sweep()
    world.deliver(world.broker.waiting.pop(0))  # somebody took one, and is done with it
    world.let_pass(LEASE_S)
    assert "lost" not in world.sweep()
    world.let_pass(world.settings.lost_seconds + 5)
    assert world.sweep()["lost"] > 0
    assert len(jobs) == 4


def test_given_a_broker_that_lost_all_and_more_than_a_round_takes_when_swept_then_the_marker_is_left_at_the_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_lost, "PAGE_ROWS", 2)
    monkeypatch.setattr(broker_lost, "PAGES", 1)
    for _ in range(3):
        world.submit()
    world.broker.flush()
    assert world.sweep()["broker_lost"] == 2
    assert world.broker.mark is None
    assert world.sweep()["broker_lost"] == 1
    assert world.broker.mark is not None
    assert "broker_lost" not in world.sweep()
