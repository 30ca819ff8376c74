"""Tests that find nothing prove nothing: a guard that is taken out of a statement is missed by the test that stands for it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from surefoot.app.engine.isolation import Isolated
from surefoot.app.errors import StoreUnavailable
from tests.contract.engine import test_isolated_sweeps as isolated
from tests.contract.engine import test_leases_and_zombies as zombies
from tests.contract.engine import test_out_of_turn as out_of_turn
from tests.contract.engine import test_running_on as running_on
from tests.contract.engine import test_side_by_side as side_by_side
from tests.contract.engine.test_any_graph import build
from tests.contract.engine.test_batches import FORK, MEMBERS
from tests.contract.engine.test_one_statement import JOBS, compare
from tests.contract.engine.test_one_statement import worlds as worlds  # a fixture
from tests.contract.engine.test_running_on import LINE
from tests.support.planted_guards import GUARDS
from tests.support.planted_statements import PLANTED, planted
from tests.support.postgres_server import PostgresServer
from tests.support.world import Participant, World, diamond

pytestmark = pytest.mark.slow

Failed = pytest.fail.Exception  # of `pytest.raises`
Check = Callable[..., None]


@pytest.fixture(scope="module")
def shared(postgres_server: PostgresServer) -> Iterator[World]:
    """One world for all mistakes: what each leaves behind is thrown away before the next."""
    name, service = postgres_server.create_store(), Participant()
    sagas = [
        diamond(service),
        build(service, FORK, batchable=set(MEMBERS), name="fork"),
        build(service, LINE, name="line"),
    ]
    world = World(postgres_server.url(name), sagas, service)
    yield world
    world.db.dispose()
    postgres_server.drop_database(name)


@pytest.fixture
def emptied(shared: World, monkeypatch: pytest.MonkeyPatch) -> World:
    for name in ("registry", "saga", "runs_on"):  # a test that fails leaves what it changed
        monkeypatch.setattr(shared, name, getattr(shared, name))
    with shared.db.begin() as tx:
        tx.execute(text("TRUNCATE surefoot_jobs CASCADE"))
    shared.service.__dict__.update(Participant().__dict__)
    shared.broker.waiting.clear()
    return shared


def a_ride_takes_only_what_is_there_for_it(world: World, service: Participant) -> None:
    """A batch's message comes when its second member is with somebody else, was tried before, or the job has turned."""
    world.saga, world.runs_on = "fork", True
    job = world.submit()
    batch, other = world.next(), world.next()
    taken = world.claim(job, "b", worker_id="other")
    assert taken is not None
    world.deliver(batch)
    assert world.operation(job, "b").token == taken.token, "the ride took what another runs"
    service.script["e", "action"] = [RuntimeError("once")]
    assert other.next is not None
    world.deliver(other.next)
    world.let_pass(20)
    world.sweep()
    world.deliver(other)
    assert world.operation(job, "e").attempts == 1, "the ride took what has its own message"
    assert world.complete(taken, "done").applied
    assert world.land(job) == "completed"


def the_two_ways_agree(worlds: tuple[World, World]) -> None:
    for seed in range(JOBS):
        compare(*worlds, seed)


def the_last_arms_ride(world: World) -> None:
    side_by_side.test_given_the_last_two_arms_complete_behind_one_lock_then_the_join_is_released_and_claimed_once(
        world, True
    )
    assert world.broken() == {}


def of_a_line(check: Check) -> Check:
    """The same of steps on one lane, one after the other."""

    def on_one_lane(world: World, service: Participant) -> None:
        world.saga, world.runs_on = "line", True
        check(world, service)

    return on_one_lane


def of_a_relay(check: Check) -> Check:
    """The same with a relay that isolates what it cannot handle, as one in production does."""

    def isolating(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(world.sweeper.relay, "isolated", Isolated())
        check(world, monkeypatch)

    return isolating


FOUND_BY: dict[str, Check] = {
    "a completion does not ask for its token": (
        zombies.test_given_a_worker_that_slept_in_its_step_when_another_has_it_then_its_result_is_refused_and_the_other_completes
    ),
    "a completion does not ask whether its operation runs": (
        zombies.test_given_a_commit_whose_answer_was_lost_when_completed_again_then_it_is_found_to_have_landed
    ),
    "a completion does not ask whether its job runs": (
        zombies.test_given_a_job_that_asks_a_person_when_its_last_step_completes_then_it_still_asks
    ),
    "a completion does not ask whether its job has turned": (
        side_by_side.test_given_a_turn_under_way_when_a_step_completes_then_nothing_goes_forward
    ),
    "a completion does not lock its job": side_by_side.test_given_a_turn_under_way_when_a_step_completes_then_nothing_goes_forward,
    "a completion settles nothing": the_two_ways_agree,
    "a completion keeps its lease": the_two_ways_agree,
    "a completion leaves no line": the_two_ways_agree,
    "a completion never ends its job": the_two_ways_agree,
    "a completion releases a follower too early": the_two_ways_agree,
    "a completion claims a follower that still waits": the_last_arms_ride,
    "what a completion releases has no date": the_two_ways_agree,
    "what a completion carries counts as not sent": the_two_ways_agree,
    "a claim by a completion is not counted": the_two_ways_agree,
    "a claim by a completion has had no effect for sure": the_two_ways_agree,
    "a claim by a completion has no lease": the_two_ways_agree,
    "a ride takes what somebody else has": a_ride_takes_only_what_is_there_for_it,
    "a ride takes what was tried before": a_ride_takes_only_what_is_there_for_it,
    "a key that has a job makes another": side_by_side.test_given_one_key_sent_twice_at_once_then_one_job_and_both_are_told_of_it,
    "a claim takes what runs": side_by_side.test_given_a_step_claimed_by_two_at_once_then_the_second_finds_it_taken,
    "a claim does not ask whether it is ready": of_a_line(
        running_on.test_given_a_message_of_a_later_step_of_the_run_when_it_comes_early_then_the_claim_refuses_it
    ),
    "a turn does not lock the claim of the pivot": (
        side_by_side.test_given_a_claim_of_the_pivot_under_way_when_cancelled_then_it_is_too_late
    ),
    "a move does not lock its job": side_by_side.test_given_a_turn_under_way_when_cancelled_then_the_job_turns_once,
    "a claim takes a job of another version": (
        out_of_turn.test_given_two_versions_in_one_worker_then_each_job_is_done_by_the_code_that_it_is_pinned_to
    ),
    "a heartbeat renews what another worker has": (
        out_of_turn.test_given_a_worker_that_lost_its_lease_when_it_beats_then_the_others_is_not_renewed
    ),
    "a killed child takes its successor along": (
        out_of_turn.test_given_a_killed_child_when_its_successor_has_the_claim_then_that_one_goes_on
    ),
    "a worker without the definition parks what runs": (
        out_of_turn.test_given_a_step_that_runs_when_its_message_comes_to_a_worker_without_the_definition_then_it_runs_on
    ),
    "nobody came, although somebody has": (
        out_of_turn.test_given_a_relay_that_saw_nobody_come_when_somebody_comes_before_it_acts_then_that_stands
    ),
    "nobody came, before its time is over": (
        out_of_turn.test_given_a_relay_that_saw_nobody_come_when_somebody_comes_before_it_acts_then_that_stands
    ),
    "a relay ends a claim that was renewed": (
        out_of_turn.test_given_a_relay_that_saw_a_lease_run_out_when_it_is_renewed_or_taken_before_the_relay_acts_then_that_stands
    ),
    "a hand back queues what was told to stop": (
        out_of_turn.test_given_a_step_that_was_told_to_stop_when_its_worker_shuts_down_then_it_is_not_queued_again
    ),
    "a zombie parks what another runs": out_of_turn.test_given_a_zombie_that_parks_then_the_one_that_runs_is_left_alone,
    "a decision is taken about what runs": partial(
        out_of_turn.test_given_a_step_that_runs_when_a_person_decides_what_became_of_it_then_refused_and_it_runs_on,
        decision="done",
    ),
    "a decision is taken about a letter that holds no job": out_of_turn.test_given_a_letter_that_holds_no_job_when_decided_then_refused,
    "a decision is taken about a job that has ended": out_of_turn.test_given_a_job_that_has_ended_when_decided_then_refused_and_it_stays,
    "two send one letter back and both are obeyed": (
        out_of_turn.test_given_two_who_read_one_letter_open_when_both_send_it_back_then_one_new_job
    ),
    "a broker that comes back with its marker is believed": (
        out_of_turn.test_given_a_broker_that_comes_back_with_its_marker_then_what_was_sent_is_rung_again
    ),
    "a lane whose queue is full is rung again": (
        out_of_turn.test_given_a_lane_whose_queue_is_full_then_nothing_of_it_is_rung_again_before_its_longer_bound
    ),
    "one row that cannot be handled stops its duty": of_a_relay(
        isolated.test_given_rows_at_the_head_that_cannot_be_handled_when_swept_then_those_behind_them_are
    ),
    "one duty that fails stops the round": of_a_relay(
        isolated.test_given_a_duty_that_fails_when_swept_then_those_behind_it_are_done
    ),
    "what is lost is asked for all lanes at once": (
        isolated.test_given_a_backlog_on_one_lane_when_a_message_of_another_is_lost_then_it_is_rung_within_a_lease
    ),
    "timers wait for a row that somebody holds": (
        side_by_side.test_given_somebody_who_holds_a_row_when_timers_wake_then_the_others_wake_beside_it
    ),
}


@pytest.mark.parametrize("mistake", [*PLANTED, *GUARDS])
def test_given_a_guard_that_is_gone_then_the_test_that_stands_for_it_fails(
    request: pytest.FixtureRequest, emptied: World, mistake: str
) -> None:
    check = FOUND_BY[mistake]
    given = {
        "world": lambda: emptied,
        "service": lambda: emptied.service,
        "worlds": lambda: request.getfixturevalue("worlds"),
        "monkeypatch": lambda: request.getfixturevalue("monkeypatch"),
    }
    with (
        planted(mistake) if mistake in PLANTED else GUARDS[mistake](),
        pytest.raises((AssertionError, IntegrityError, StoreUnavailable, Failed)),
    ):
        check(
            **{name: given[name]() for name in inspect.signature(check).parameters if name in given}
        )


def test_given_no_mistake_then_a_ride_takes_only_what_is_there_for_it(emptied: World) -> None:
    a_ride_takes_only_what_is_there_for_it(emptied, emptied.service)
    assert emptied.broken() == {}


def test_given_the_mistakes_then_each_has_its_test() -> None:
    assert FOUND_BY.keys() == PLANTED.keys() | GUARDS.keys()
