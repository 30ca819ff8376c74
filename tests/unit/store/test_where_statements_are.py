"""Statements are built in the store; whoever calls it names its connections and errors alone."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NAMES = {"Connection", "Engine"}


def builds_statements(text: str) -> bool:
    """Whether this code imports more of SQLAlchemy than its connections and errors."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.ImportFrom(module="sqlalchemy", names=names):
                if {one.name for one in names} - NAMES:
                    return True
            case ast.ImportFrom(module=str(module)):
                if module.startswith("sqlalchemy.") and module != "sqlalchemy.exc":
                    return True
            case ast.Import(names=names):
                if any(one.name.split(".")[0] == "sqlalchemy" for one in names):
                    return True
    return False


def test_given_engine_limits_explain_and_web_when_read_then_none_builds_statements() -> None:
    rooms = ("app/engine", "app/limits", "app/explain", "web")
    files = [path for room in rooms for path in (ROOT / room).rglob("*.py")]
    found = {str(path.relative_to(ROOT)) for path in files if builds_statements(path.read_text())}

    assert len(files) > 80
    assert found == set()


@pytest.mark.parametrize(
    ("text", "builds"),
    [
        ("from sqlalchemy import Connection, Engine", False),
        ("from sqlalchemy.exc import DBAPIError", False),
        ("from sqlalchemy import Engine, select", True),
        ("from sqlalchemy.dialects import postgresql", True),
        ("import sqlalchemy as sa", True),
    ],
)
def test_given_an_import_when_read_then_it_is_known_whether_it_builds_statements(
    text: str, builds: bool
) -> None:
    assert builds_statements(text) is builds
