"""Counting in files: many processes, threads, forks, ends without a word; and never an exception."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from surefoot.app import metrics
from surefoot.app.metrics import files
from surefoot.app.metrics.kinds import LABEL_SETS_MOST, Counter, Histogram

APPLES = Counter("apples", "Apples.", ("kind",))
TOOK = Histogram("picking_seconds", "Picking.", ("who",), (0.005, 0.25, 0.5, 10.0))
ELSEWHERE = """
import sys
from pathlib import Path
from surefoot.app import metrics
from surefoot.app.metrics.kinds import Counter
metrics.start(Path(sys.argv[1]))
Counter("apples", "Apples.", ("kind",)).add(5, kind="red")
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    metrics.start(tmp_path)
    yield tmp_path
    metrics.stop()


def samples(home: Path) -> dict[tuple[str, ...], float]:
    found = [sample for metric in files.collected(home) for sample in metric.samples]
    return {(sample.name, *sample.labels.values()): sample.value for sample in found}


def test_given_not_started_when_counted_then_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    APPLES.add(kind="red")
    TOOK.observe(1.0, who="ada")
    assert files.collected(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_given_threads_when_each_counts_then_no_count_is_lost(home: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: APPLES.add(kind="red"), range(4000)))
    assert samples(home) == {("surefoot_apples_total", "red"): 4000.0}


def test_given_forked_child_when_both_count_then_each_has_a_file_and_the_sum_is_right(
    home: Path,
) -> None:
    APPLES.add(kind="red")
    child = os.fork()
    if child == 0:
        APPLES.add(2, kind="red")
        os._exit(0)  # without a word
    os.waitpid(child, 0)
    APPLES.add(4, kind="red")
    assert len(list((home / files.FOLDER).glob("*.db"))) == 2
    assert samples(home) == {("surefoot_apples_total", "red"): 7.0}


def test_given_processes_that_have_ended_when_collected_again_and_again_then_folded_into_one_and_nothing_is_lost(
    home: Path,
) -> None:
    for _ in range(3):
        subprocess.run(
            [sys.executable, "-c", ELSEWHERE, str(home)],
            check=True,
            timeout=60,
            cwd=Path(__file__).parents[3],
        )
    for _ in range(2):
        assert samples(home) == {("surefoot_apples_total", "red"): 15.0}
    assert [path.name.rpartition("-")[2] for path in (home / files.FOLDER).glob("*.db")] == [
        "past.db"
    ]


def test_given_nobody_who_asks_when_tidied_then_those_that_have_ended_are_one_file(
    home: Path,
) -> None:
    for _ in range(3):
        subprocess.run(
            [sys.executable, "-c", ELSEWHERE, str(home)],
            check=True,
            timeout=60,
            cwd=Path(__file__).parents[3],
        )
    APPLES.add(kind="red")
    metrics.tidy()
    assert len(list((home / files.FOLDER).glob("*.db"))) == 2  # theirs and ours
    assert samples(home) == {("surefoot_apples_total", "red"): 16.0}
    metrics.stop()
    metrics.tidy()


def test_given_file_of_another_host_when_collected_then_it_is_counted_and_left_alone(
    home: Path,
) -> None:
    APPLES.add(kind="red")
    (ours,) = (home / files.FOLDER).glob("*.db")
    theirs = ours.with_name("counter_elsewhere-1.db")
    theirs.write_bytes(ours.read_bytes())
    assert samples(home) == {("surefoot_apples_total", "red"): 2.0}
    assert theirs.exists()


def test_given_durations_when_collected_then_buckets_add_up(home: Path) -> None:
    for seconds in (0.001, 0.3, 99.0):
        TOOK.observe(seconds, who="ada")
    found = samples(home)
    assert found["surefoot_picking_seconds_count", "ada"] == 3
    assert found["surefoot_picking_seconds_sum", "ada"] == pytest.approx(99.301)
    assert [
        found["surefoot_picking_seconds_bucket", "ada", most]
        for most in ("0.005", "0.25", "0.5", "10.0", "+Inf")
    ] == [1, 1, 2, 2, 3]


def test_given_labels_without_end_when_counted_then_the_rest_counts_as_other(home: Path) -> None:
    many = Counter("many", "Many.", ("id",))
    for number in range(LABEL_SETS_MOST + 10):
        many.add(id=str(number))
    assert samples(home)["surefoot_many_total", "other"] == 10


def test_given_folder_that_went_away_when_counted_then_no_exception(home: Path) -> None:
    (home / files.FOLDER).rmdir()
    APPLES.add(kind="red")
    TOOK.observe(1.0, who="ada")


def test_given_counts_of_an_earlier_start_when_cleaned_then_begun_anew(home: Path) -> None:
    APPLES.add(kind="red")
    metrics.stop()
    files.clean(home)
    assert files.collected(home) == []
    files.clean(home / "nowhere")


def test_given_noted_when_rolled_back_then_not_counted_and_when_committed_then_once(
    home: Path,
) -> None:
    metrics.record(APPLES, kind="red")
    metrics.reset()
    metrics.record(APPLES, kind="green")
    metrics.flush()
    metrics.flush()
    assert samples(home) == {("surefoot_apples_total", "green"): 1.0}
