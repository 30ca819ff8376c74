"""`surefoot bench --growth` in small: every row is there, and its counts are exact."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.bench.growth import Extent, Grown, Row, Size, as_json, grow, judged
from app.config import Settings


@pytest.mark.long
@pytest.mark.timeout(300)
def test_given_a_small_extent_then_every_row_is_measured_at_growing_sizes(store_url: str, tmp_path: Path) -> None:
    said: list[str] = []
    settings = Settings(database_url=store_url if store_url.startswith("postgresql") else "", home=tmp_path)
    found = grow(settings, Extent(rows=2000, members=30, steps=20, parked=500, jobs=4, seconds=200), said.append)
    sizes = {row.name: [size.size for size in row.sizes] for row in found.rows}
    assert sizes == {
        "steps_one_lane": [3, 20],
        "steps_lanes": [3, 20],
        "steps_undone": [3, 20],
        "fork": [10, 30],
        "parked": [0, 500],
        "finished": [200, 1000, 2000],
    }
    values = {row.name: [size.values for size in row.sizes] for row in found.rows}
    assert [one["messages"] for one in values["steps_one_lane"]] == [pytest.approx(1 / 3), pytest.approx(2 / 20)]
    assert [one["messages"] for one in values["steps_lanes"] + values["fork"]] == [1.0] * 4
    for name in ("steps_one_lane", "steps_lanes"):
        assert values[name][-1]["message_bytes"] == pytest.approx(values[name][0]["message_bytes"], rel=0.15)
    assert found.left_out == []
    assert len([name for name in judged(found.rows[-1]) if name.startswith("sweep_")]) == 9


def test_given_figures_then_growth_is_the_last_over_the_first_and_a_rate_the_other_way_round() -> None:
    sizes = [Size(0, {"cpu_all_ms": 4.0, "per_s": 10.0}), Size(100, {"cpu_all_ms": 5.0, "per_s": 8.0})]
    row = Row("parked", "jobs that wait", 1.05, sizes)
    assert judged(row) == {"cpu_all_ms": 1.25, "per_s": 1.25}
    told = as_json(Grown("SQLite", [row], 1.0, ["a fork of 10,000"]))
    assert (told["rows"][0]["growth"], told["left_out"]) == ({"cpu_all_ms": 1.25, "per_s": 1.25}, ["a fork of 10,000"])
    assert judged(Row("fork", "members", 1.15, sizes[:1])) == {}
