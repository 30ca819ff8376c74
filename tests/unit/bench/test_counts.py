"""The bench's own arithmetic: counters in files, what belongs to jobs, ratios within a round, the SQLite log."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from surefoot.app.bench import gauges
from surefoot.app.bench.report import as_json, sentences
from surefoot.app.bench.result import lines, percentile
from surefoot.app.bench.rows import ALL, PLAIN, Row, of_round
from surefoot.app.bench.run import Result, Sample
from surefoot.app.bench.tally import Tallies, Tally


def test_given_two_processes_that_count_when_one_is_killed_then_the_total_has_both(
    tmp_path: Path,
) -> None:
    tallies = Tallies(tmp_path)
    mine = Tally(tmp_path)
    mine.add("commits")
    child = os.fork()
    if child == 0:
        theirs = Tally(tmp_path)
        theirs.add("commits")
        theirs.add("done")
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    mine.add("commits")
    assert (tallies.total("commits"), tallies.total("done")) == (3, 1)


def test_given_polling_and_a_message_when_commands_are_counted_then_only_the_message_counts() -> (
    None
):
    polling = {
        "brpop": 7,
        "ping": 2,
        "info": 4,
        "set": 1,
        "zrange": 1,
        "evalsha": 1,
        "get": 1,
        "del": 1,
        "sadd": 2,
    }
    message = {"lpush": 1, "multi": 2, "zadd": 1, "hset": 1, "zrem": 1, "hdel": 1, "exec": 2}
    assert gauges.job_commands(polling) == 0
    assert gauges.job_commands(polling | message) == 10
    assert gauges.messages(polling | message) == 1


def test_given_rounds_when_laid_out_then_each_row_is_beside_its_peer_and_every_second_round_is_backwards() -> (
    None
):
    for number in range(4):
        names = [row.name for row in of_round(number)]
        assert {row.peer_name for row in of_round(number) if row.peer_name} <= set(names)
    assert [row.name for row in of_round(0)] == [row.name for row in ALL]
    assert [row.name for row in of_round(1)] == [row.name for row in reversed(PLAIN)]


def sample(row: Row, number: int, wall_s: float, finished: int = 10) -> Sample:
    return Sample(
        row=row,
        round=number,
        submitted=10,
        finished=finished,
        rescued=0,
        wall_s=wall_s,
        submit_s=(0.001, 0.003),
        done_s=(0.01, 0.02),
        cpu_s={"client": 0.1, "workers": 0.2, "database": None, "broker": 0.05},
        commits=80,
        wal_bytes=1000,
        messages=30,
        commands=300,
        rss_bytes=1,
        foreign_cpus=0.1,
    )


def test_given_a_machine_that_slows_down_when_ratios_are_taken_then_within_each_round() -> None:
    saga, plain = PLAIN[0], PLAIN[2]
    result = Result("a store", "a broker", 2, rounds=3, asked_rounds=3)
    for number, slower in enumerate((1.0, 2.0, 10.0)):
        result.samples += [sample(saga, number, 2.0 * slower), sample(plain, number, 1.0 * slower)]
    ours, peer = lines(result)
    assert ours.ratio is not None
    assert (ours.ratio.median, ours.ratio.low, ours.ratio.high) == (0.5, 0.5, 0.5)
    assert peer.ratio is None
    assert ours.cpu_ms == {
        "client": pytest.approx(10),
        "workers": pytest.approx(20),
        "database": None,
        "broker": pytest.approx(5),
    }
    assert (ours.write_tx, ours.messages, ours.commands) == (8, 3, 30)
    assert as_json(result)["ratio"] == 0.5


def test_given_jobs_that_did_not_finish_when_told_then_it_is_the_message() -> None:
    result = Result(
        "a store", "a broker", 2, [sample(PLAIN[2], 0, 1.0, finished=9)], rounds=1, asked_rounds=1
    )
    assert any("NOT ALL JOBS FINISHED" in sentence for sentence in sentences(result, lines(result)))
    assert as_json(result)["finished_all"] is False


@pytest.mark.parametrize(("share", "expected"), [(0.5, 2), (0.99, 4), (0.25, 1)])
def test_given_few_values_when_a_percentile_is_taken_then_it_is_one_of_them(
    share: float, expected: float
) -> None:
    assert percentile([4, 1, 3, 2], share) == expected


def test_given_a_sqlite_log_that_starts_anew_when_looked_at_then_its_bytes_go_on_growing(
    tmp_path: Path,
) -> None:
    file = tmp_path / "x.sqlite"
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    gauge = gauges.SqliteGauge(file)
    connection.execute("CREATE TABLE t (x)")
    first = gauge.wal_bytes()
    assert first is not None
    assert first > 0
    connection.execute("PRAGMA wal_checkpoint(RESTART)")
    connection.execute("INSERT INTO t VALUES (1)")  # written to the beginning of the log
    second = gauge.wal_bytes()
    assert second == first + 4096 + gauges.FRAME_HEADER_BYTES
    connection.close()
