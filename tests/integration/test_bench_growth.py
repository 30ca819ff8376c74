"""`surefoot bench --growth` in small: every row is there, its counts are exact, and it is judged round by round."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from surefoot.app.bench.grown import Grown, Row, judged
from surefoot.app.bench.growth import Extent, grow
from surefoot.app.bench.growth_report import as_json, show
from surefoot.app.bench.result import Spread
from surefoot.app.config import Settings
from surefoot.workers.bench.growth import COPIED


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine may be busy, and counts are to be exact."""
    monkeypatch.setenv("SUREFOOT_RUN_ON_SECONDS", "60")
    monkeypatch.setenv("SUREFOOT_BATCH_SECONDS", "60")


@pytest.mark.long
@pytest.mark.timeout(300)
def test_given_a_small_extent_then_every_row_is_measured_at_growing_sizes_in_every_round(
    store_url: str, tmp_path: Path
) -> None:
    said: list[str] = []
    settings = Settings(
        database_url=store_url if store_url.startswith("postgresql") else "", home=tmp_path
    )
    found = grow(
        settings,
        Extent(rows=1000, members=30, steps=20, parked=200, jobs=4, rounds=2, seconds=200),
        said.append,
    )
    rows = {row.name: row for row in found.rows}
    assert {name: [size.size for size in row.sizes] for name, row in rows.items()} == {
        "steps_one_lane": [3, 20],
        "steps_lanes": [3, 20],
        "steps_undone": [3, 20],
        "fork": [10, 30],
        "parked": [0, 200],
        "finished": [100, 1000],
    }
    assert {len(size.rounds) for row in found.rows for size in row.sizes} == {2}
    values = {
        name: [one for size in row.sizes for one in size.rounds] for name, row in rows.items()
    }
    assert [one["messages"] for one in values["steps_one_lane"]] == [pytest.approx(1 / 3)] * 2 + [
        pytest.approx(2 / 20)
    ] * 2
    assert [one["messages"] for one in values["steps_lanes"]] == [1.0] * 4
    # the join is run on to
    assert [one["messages"] for one in values["fork"]] == [pytest.approx(10 / 11)] * 2 + [
        pytest.approx(30 / 31)
    ] * 2
    for name in ("steps_one_lane", "steps_lanes"):
        assert judged(rows[name])["message_bytes"].median == pytest.approx(1, abs=0.15)
    assert found.left_out == []
    assert len([name for name in judged(rows["finished"]) if name.startswith("sweep_")]) == 9
    assert said[-1].endswith("members of a fork, round 2 of 2")


@pytest.mark.long
@pytest.mark.timeout(300)
def test_given_no_time_then_what_does_not_fit_in_is_named_and_the_rest_is_measured_once(
    tmp_path: Path,
) -> None:
    extent = Extent(rows=COPIED + 1, members=12, steps=4, parked=10, jobs=1, rounds=2, seconds=0.1)
    found = grow(Settings(home=tmp_path), extent, lambda line: None)
    assert f"{COPIED + 1:,} finished jobs" in found.left_out
    assert "rounds 2 to 2 of jobs that wait" in found.left_out
    assert [
        [len(size.rounds) for size in row.sizes] for row in found.rows if row.name == "parked"
    ] == [[1, 1]]


def parked(*rounds: tuple[dict[str, float], dict[str, float]]) -> Row:
    """A row of two sizes: the figures of each in each round."""
    row = Row("parked", "jobs that wait", 1.05)
    for number, (first, last) in enumerate(rounds):
        for size, values in ((0, first), (100, last))[
            :: 1 if number % 2 == 0 else -1
        ]:  # there and back, as they come
            row.note(size, values)
    return row


def figures(cpu: float, rate: float) -> dict[str, float]:
    return {"cpu_all_ms": cpu, "per_s": rate, "others_cpus": 0.5}


def test_given_a_machine_that_grows_slower_from_round_to_round_then_growth_is_that_within_a_round() -> (
    None
):
    row = parked(
        (figures(4, 80), figures(4, 80)),
        (figures(8, 40), figures(8.4, 38)),
        (figures(16, 20), figures(16.8, 20)),
    )
    assert judged(row)["cpu_all_ms"] == Spread(1.05, 1.0, 1.05)
    assert judged(row)["per_s"] == Spread(1.0, 1.0, pytest.approx(40 / 38))
    assert [size.size for size in row.sizes] == [0, 100]
    assert row.sizes[1].values["cpu_all_ms"] == 8.4


def test_given_one_disturbed_round_of_three_then_it_shows_in_the_range_and_not_in_the_median() -> (
    None
):
    row = parked(*[(figures(4, 80), figures(4, 80))] * 2, (figures(4, 80), figures(12, 20)))
    assert judged(row)["cpu_all_ms"] == Spread(1.0, 1.0, 3.0)
    assert judged(row)["per_s"] == Spread(1.0, 1.0, 4.0)


def test_given_a_row_of_one_size_then_nothing_has_grown() -> None:
    row = Row("fork", "members", 1.15)
    row.note(10, figures(4, 80))
    assert judged(row) == {}


def test_given_lines_of_the_measuring_process_then_the_document_has_medians_growth_and_what_was_left_out() -> (
    None
):
    grown = Grown("SQLite", seconds=1.0)
    assert grown.note({"doing": "jobs that wait, round 1 of 1"}) == "jobs that wait, round 1 of 1"
    for size, values in ((0, figures(4, 10)), (100, figures(5, 8))):
        assert (
            grown.note(
                {
                    "name": "parked",
                    "title": "jobs that wait",
                    "limit": 1.05,
                    "size": size,
                    "values": values,
                }
            )
            is None
        )
    assert grown.note({"left_out": "a fork of 10,000"}) == "left out: a fork of 10,000"
    told = as_json(grown)
    assert (told["left_out"], told["others_cpus"]) == (["a fork of 10,000"], [0.5, 0.5, 0.5])
    row = told["rows"][0]
    assert (row["rounds"], row["growth"], row["spread"]) == (
        1,
        {"cpu_all_ms": 1.25, "per_s": 1.25},
        {"cpu_all_ms": [1.25, 1.25], "per_s": [1.25, 1.25]},
    )
    assert row["sizes"][1] == {"size": 100, "cpu_all_ms": 5, "per_s": 8, "others_cpus": 0.5}


@pytest.mark.parametrize(
    ("cpu", "words"),
    [
        (4.1, "jobs that wait: as good as flat; rate 1.00 of the first's."),
        (5.0, "jobs that wait: grew by more than 1.05: cpu_all_ms 1.25 times (1.25-1.25)."),
    ],
)
def test_given_a_row_then_its_verdict_is_said(cpu: float, words: str, capsys: Any) -> None:
    show(Grown("SQLite", [parked((figures(4, 80), figures(cpu, 80)))], 12.0, ["a fork of 10,000"]))
    said = capsys.readouterr().out
    assert words in said
    assert "Left out, for it did not fit in: a fork of 10,000." in said
    assert "others kept 0.50 processors busy" in said
