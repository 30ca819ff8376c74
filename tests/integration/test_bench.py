"""The bench for real, tiny: its counts are exact, its rates are nobody's business, and it leaves nothing behind.

A subprocess, as people run it. SQLite and PostgreSQL count the same transactions; events are the broker's, and counted once.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from tests.support.files import text_of
from tests.support.postgres_server import OWNER, PostgresServer
from tests.support.processes import lives
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
BENCH_S = 250.0
# What one job costs: write transactions, messages, broker commands. A message costs ten commands: push, pop, two brackets
# around note-it and two around forget-it. Without run-on a saga of three would cost 8, 3, 30 like the hand-written loop's 8.
PER_JOB: dict[str, tuple[float, float, float]] = {
    "one_lane": (6, 1, 10),  # submit and mark sent; claim; complete and claim, twice; complete
    "lanes": (8, 3, 30),  # submit and mark sent; claim and complete, three times
    "chain": (0, 3, 30),
    "loop": (8, 3, 9),  # by hand a message costs three commands: push, move, forget
    "fork": (
        15,
        2,
        20,
    ),  # submit and mark sent; two batches of five: claim, five completions; the join's completion
    "fork_apart": (
        23,
        10,
        100,
    ),  # submit and mark sent; ten claims, eleven completions: the last member runs on to the join
}
CHORD_MESSAGES = 11


def bench(home: Path, *more: str, **env: str) -> subprocess.Popen[str]:
    ours = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "TMPDIR": str(home),
        "SUREFOOT_HOME": str(home / "var"),
        **env,
    }
    words = [
        sys.executable,
        "-m",
        "tests.support.patient_bench",
        *more,
        "bench",
        "--rounds",
        "1",
        "--jobs",
        "3",
        "--json",
    ]
    out, err = (home / "out").open("w"), (home / "err").open("w")
    with out, err:
        return subprocess.Popen(
            words, env=ours, stdout=out, stderr=err, text=True, start_new_session=True
        )


def result(home: Path, *more: str, **env: str) -> dict[str, Any]:
    process = bench(home, *more, **env)
    try:
        code = process.wait(BENCH_S)
    except subprocess.TimeoutExpired:
        end(process)
        raise
    assert code == 0, (home / "err").read_text()
    return dict(json.loads((home / "out").read_text()))


def end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def check(found: dict[str, Any], *, events: bool) -> None:
    rows = {row["name"]: row for row in found["rows"]}
    for row in rows.values():
        assert row["finished"] == row["submitted"] > 0, row
        assert row["rescued"] == 0, row
        assert row["jobs_per_s"]["median"] > 0
    for name, (writes, messages, commands) in PER_JOB.items():
        row = rows[name]
        assert (row["write_tx"], row["messages"], row["broker_commands"]) == (
            writes,
            messages,
            commands,
        ), row
        if events and name != "loop":  # events are more commands and nothing else
            watched = rows[f"{name}_events"]
            assert (watched["write_tx"], watched["messages"]) == (writes, messages), watched
            assert watched["broker_commands"] > commands
    assert rows["chord"]["messages"] == CHORD_MESSAGES
    assert rows["chord"]["write_tx"] == 0
    assert rows["one_lane"]["peer"] == "chain"
    assert rows["fork"]["peer"] == "chord"
    assert found["ratio"] > 0
    assert found["rounds"] == 1


@pytest.mark.long
@pytest.mark.timeout(300)
def test_given_only_this_machine_when_benched_then_counts_are_exact_and_nothing_is_left(
    tmp_path: Path, redis_executable: str
) -> None:
    found = result(tmp_path, "plain")
    check(found, events=False)
    assert "SQLite" in found["machine"]["store"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["err", "out"]


@pytest.mark.long
@pytest.mark.timeout(300)
def test_given_postgresql_and_a_redis_in_use_when_benched_then_counts_are_the_same_and_their_data_are_untouched(
    tmp_path: Path, postgres_server: PostgresServer, redis_server: RedisServer
) -> None:
    before = databases(postgres_server)
    with redis_server.client() as client:
        client.set("somebody", "else's")
    found = result(tmp_path, DATABASE_URL=postgres_server.url(), BROKER_URL=redis_server.url)
    check(found, events=True)
    assert "PostgreSQL" in found["machine"]["store"]
    assert all(row["wal_bytes"] > 0 for row in found["rows"] if row["write_tx"])
    assert all(row["cpu_ms"]["database"] is not None for row in found["rows"])
    assert databases(postgres_server) == before
    with redis_server.client() as client:
        assert set(client.info("keyspace")) == {"db0"}  # type: ignore[arg-type]
        assert client.keys("*") == [b"somebody"]


@pytest.mark.long
@pytest.mark.timeout(300)
def test_given_a_bench_that_runs_when_interrupted_then_no_process_and_no_file_is_left(
    tmp_path: Path, redis_executable: str
) -> None:
    process = bench(tmp_path, "plain")
    try:
        wait_until(lambda: "store:" in text_of(tmp_path / "err"), 90, what="the bench to begin")
        wait_until(
            lambda: len(psutil.Process(process.pid).children(recursive=True)) >= 7,
            90,
            what="its workers",
        )
        theirs = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    finally:
        end(process)
    wait_until(lambda: not any(lives(one.pid) for one in theirs), 60, what="its processes to end")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["err", "out"]


def test_given_a_broker_that_is_no_redis_when_benched_then_one_line_names_the_setting(
    tmp_path: Path,
) -> None:
    process = bench(tmp_path, BROKER_URL="amqp://guest@127.0.0.1:1//")
    assert process.wait(60) == 1
    assert "BROKER_URL" in (tmp_path / "err").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["err", "out"]


def databases(server: PostgresServer) -> set[str]:
    with psycopg.connect(
        host="127.0.0.1", port=server.port, user=OWNER, dbname="postgres"
    ) as connection:
        return {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
