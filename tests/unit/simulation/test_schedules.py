"""Random schedules: every job lands, the same number gives the same schedule, and a failing one is told in a few lines."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from surefoot.app.cli.simulate import simulate as command
from surefoot.app.simulation import run as running
from surefoot.app.simulation.run import quietly
from surefoot.app.simulation.schedule import actions_of, run
from surefoot.app.simulation.shrink import shrunk
from tests.support.planted import PLANTED

QUICK, PART = 100, 50
ALL = 1000
RARE = 1284  # comes to where a person marks a step as absent, as one of some hundred schedules does


def failures(first: int, count: int) -> list[str]:
    tally = running.simulate(count, seed=first)
    assert tally.schedules == count or tally.failures
    return [f"seed {outcome.seed}: {outcome.problems[0]}" for outcome in tally.failures]


@pytest.mark.parametrize("first", range(0, QUICK, PART))
def test_given_random_sagas_and_faults_then_every_job_lands(first: int) -> None:
    assert failures(first, PART) == []


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_given_a_thousand_schedules_then_every_job_lands_and_every_named_point_was_come_to() -> (
    None
):
    tally = running.simulate(ALL - QUICK, seed=QUICK, jobs=2)
    tally.join(running.simulate(1, seed=RARE))
    assert [f"seed {outcome.seed}: {outcome.problems[0]}" for outcome in tally.failures] == []
    assert tally.never_passed == []
    assert {"completed", "failed", "cancelled"} <= tally.ends.keys()
    assert (
        min(tally.faults.values()) > 10 and min(tally.answers.values()) > 10
    )  # nothing is vacuous


def test_given_one_number_when_it_is_run_in_another_process_then_the_schedule_is_the_same_to_the_letter() -> (
    None
):
    ask = (
        "from surefoot.app.simulation.run import quietly;"
        "from surefoot.app.simulation.schedule import run;"
        "print('\\n'.join(quietly(run, 3).trace))"
    )
    environment = os.environ | {"PYTHONHASHSEED": "77"}
    done = subprocess.run(
        [sys.executable, "-c", ask],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    quietly(run, 4)  # what came before in this process does not matter
    assert done.stdout.strip().splitlines() == quietly(run, 3).trace


def test_given_another_number_then_the_rates_and_the_actions_are_others() -> None:
    (first, one), (second, other) = actions_of(1), actions_of(2)
    assert first != second
    assert [next(one) for _ in range(20)] != [next(other) for _ in range(20)]


def test_given_a_failing_schedule_when_it_is_cut_down_then_it_is_short_and_still_fails_in_the_same_way() -> (
    None
):
    with PLANTED["the turn forgets what is queued"]():
        failed = next(
            outcome
            for seed in range(40)
            if len((outcome := quietly(run, seed)).actions) > 12 and outcome.failed
        )
        short = quietly(shrunk, failed)
    assert len(short.actions) <= 12 < len(failed.actions)
    assert "after the turn nothing forward can start" in short.problems[0]
    assert not quietly(run, failed.seed, short.actions).failed  # it was the planted mistake


def test_given_schedules_that_land_then_the_command_says_so_and_ends_with_0() -> None:
    done = CliRunner().invoke(
        command, ["--schedules", "6", "--jobs", "1", "--seed", "20", "--json"]
    )
    assert done.exit_code == 0, done.output
    said = json.loads(done.output)
    assert (
        said["schedules"] == 6
        and said["actions"] >= 300
        and said["failed_seeds"] == []
        and said["shortest"] is None
    )


def test_given_a_mistake_in_the_engine_then_the_command_shows_the_shortest_schedule_and_how_to_see_it_again() -> (
    None
):
    with PLANTED["messages leave before the commit"]():
        done = CliRunner().invoke(command, ["--schedules", "2", "--jobs", "1"])
    assert done.exit_code == 1
    assert "a message left before the commit of what it is about" in done.output
    assert "again: surefoot simulate --schedules 1 --seed " in done.output


def test_given_several_processes_then_every_schedule_is_run_once() -> None:
    tally = running.simulate(24, seed=40, jobs=2)
    assert tally.schedules == 24 and not tally.failures
    assert tally.ends.total() > 10


def test_given_an_attempt_in_doubt_when_its_undo_replays_under_the_same_fence_then_all_is_well() -> (
    None
):
    assert not quietly(run, 700614).failed
