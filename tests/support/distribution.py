"""Which test process runs which tests, and in which order, when there are several (pytest-xdist).

Units of work are dealt out one by one as processes become free, those that may take minutes first: at the end nobody
waits for one process with a long test. A file is a unit, so that what its tests share is made once. Where tests take
minutes each and share nothing, each is a unit of its own.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

HERE = Path(__file__).resolve().parents[2]


class InUnits(LoadScopeScheduling):  # type: ignore[misc]
    """Deals out units in the order in which the processes collected them."""

    def __init__(self, config: pytest.Config, log: object) -> None:
        config.option.loadscopereorder = False  # it would begin with the files of most tests
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return unit(nodeid)


def unit(nodeid: str) -> str:
    """What a test is dealt out with: all of its file, or itself alone."""
    file = nodeid.partition("::")[0]
    return nodeid if _has_long_tests_that_share_nothing(file) else file


@cache
def _has_long_tests_that_share_nothing(file: str) -> bool:
    text = (HERE / file).read_text(encoding="utf-8")
    return "mark.long" in text and 'scope="module"' not in text


def longest_first(items: list[pytest.Item]) -> None:
    """Sort the tests by what their unit may take; within a unit they keep their order."""
    ranks: dict[str, int] = {}
    for item in items:
        name = unit(item.nodeid)
        ranks[name] = min(ranks.get(name, 9), _rank(item))
    items.sort(key=lambda item: ranks[unit(item.nodeid)])


def _rank(item: pytest.Item) -> int:
    if marker := item.get_closest_marker("long"):
        return 0 if "first" in marker.args else 1
    if item.nodeid.startswith("tests/crash"):
        return 2
    return 3 if item.nodeid.startswith("tests/integration") else 4
