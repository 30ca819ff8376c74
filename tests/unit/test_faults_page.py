"""The page that says which test covers which fault names only tests that are there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "faults.md"
NAMED = re.compile(r"`((?:\w+/)*test_\w+\.py)::([^`]+)`")


@cache
def names_in(file: Path) -> list[str]:
    nodes = ast.walk(ast.parse(file.read_text()))
    return [
        node.name
        for node in nodes
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]


@cache
def files_named(name: str) -> list[Path]:
    return list(TESTS.rglob(name))


def test_given_the_page_then_each_fault_has_one_row() -> None:
    rows = re.findall(r"^\| F(\d\d) \|", PAGE.read_text(), re.MULTILINE)
    assert [int(row) for row in rows] == list(range(1, 51))


def test_given_a_test_that_the_page_names_then_it_is_there() -> None:
    named = NAMED.findall(PAGE.read_text())
    assert len(named) >= 50
    missing = []
    for path, words in named:
        found = [
            name
            for file in files_named(path.rpartition("/")[2])
            if str(file).endswith(f"/{path}")
            for name in names_in(file)
        ]
        if not any(words in name for name in found):
            missing.append(f"{path}::{words}")
    assert missing == []
