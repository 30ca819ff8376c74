"""The form of the code: what belongs together is passed as one value, and a module has one idea."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENGINE = ROOT / "app" / "engine"
MOST_LINES = 400  # of one module
MOST = 5  # parameters of a function, `self` and `cls` left out


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    all_of = function.args
    named = [one.arg for one in (*all_of.posonlyargs, *all_of.args, *all_of.kwonlyargs)]
    own = named[:1] in (["self"], ["cls"])
    return len(named) - own + (all_of.vararg is not None) + (all_of.kwarg is not None)


def too_many(source: str) -> list[str]:
    """The functions with more parameters than MOST."""
    return [
        f"{node.lineno} {node.name}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and parameters(node) > MOST
    ]


def test_given_the_engine_then_no_function_has_more_than_five_parameters() -> None:
    found = {
        str(path.relative_to(ENGINE)): wide
        for path in ENGINE.rglob("*.py")
        if (wide := too_many(path.read_text(encoding="utf-8")))
    }
    assert found == {}


def test_given_the_product_then_no_module_is_longer_than_one_idea_needs() -> None:
    """Migrations are left out: each is history."""
    found = {
        str(path.relative_to(ROOT)): lines
        for folder in ("app", "web", "workers", "surefoot")
        for path in (ROOT / folder).rglob("*.py")
        if "migrations" not in path.parts
        and (lines := len(path.read_text(encoding="utf-8").splitlines())) > MOST_LINES
    }
    assert found == {}


def test_given_a_function_of_six_then_it_is_found_and_self_does_not_count() -> None:
    planted = """
def wide(a, b, /, c, *d, e, **f): ...
class Thing:
    def narrow(self, a, b, c, *, d, e): ...
"""
    assert too_many(planted) == ["2 wide"]
