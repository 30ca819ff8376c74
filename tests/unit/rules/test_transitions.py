"""The table of transitions: it names code that exists, the engine writes no state that it lacks, and docs/states.md is it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from surefoot.app.rules.machines import JOB, LETTER, MACHINES, OPERATION, Machine
from surefoot.app.rules.states import AT_REST, ENDED, LetterState
from surefoot.app.rules.transitions import TRANSITIONS, changes_of, final

ROOT = Path(__file__).parents[3]
APP = ROOT / "app"
# Statements that write what their caller says: the state is decided by the functions of `by`.
DECIDED_ABOVE = {
    "job_writes.change_job",
    "attempt_writes.end_running_operation",
    "operation_writes.decide_failed_operation",
}
ENUMS = {"JobState", "OpState", "LetterState"}


def functions(folder: Path, root: Path) -> Iterator[tuple[str, ast.FunctionDef]]:
    """(dotted name below `root`, function) of every function and method."""
    for path in folder.rglob("*.py"):
        module = ".".join(path.relative_to(root).with_suffix("").parts)
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef):
                yield f"{module}.{node.name}", node
            elif isinstance(node, ast.ClassDef):
                for part in node.body:
                    if isinstance(part, ast.FunctionDef):
                        yield f"{module}.{node.name}.{part.name}", part


def states_in(node: ast.AST | None, assigned: dict[str, ast.expr]) -> set[str]:
    """Members of a state's enum that this value may be; `READY_NOW` is a queued operation."""
    found = set()
    for one in ast.walk(node) if node is not None else ():
        match one:
            case ast.Attribute(value=ast.Name(id=enum), attr=member) if enum in ENUMS:
                found.add(member.lower())
            case ast.Name(id=name) if name in assigned and assigned[name] is not node:
                found |= states_in(assigned[name], {})
    return found


def written(function: ast.FunctionDef) -> set[str]:
    """The states that a function of the engine decides to write."""
    assigned = {
        one.targets[0].id: one.value
        for one in ast.walk(function)
        if isinstance(one, ast.Assign) and isinstance(one.targets[0], ast.Name)
    }
    found = set()
    for one in ast.walk(function):
        match one:
            case ast.Dict(keys=keys, values=values):
                for key, value in zip(keys, values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == "state":
                        found |= states_in(value, assigned)
            case ast.Call(func=ast.Attribute(attr="change" | "values"), keywords=keywords):
                for keyword in keywords:
                    if keyword.arg == "state":
                        found |= states_in(keyword.value, assigned)
            case ast.Call(func=ast.Attribute(attr="end"), args=[state, *_]):
                found |= states_in(state, assigned)
            case ast.Attribute(attr="READY_NOW"):
                found.add("queued")
    return found


def decided() -> dict[str, set[str]]:
    """function -> the states that the table says it decides."""
    found: dict[str, set[str]] = {}
    for row in TRANSITIONS:
        for name in row.by:
            found.setdefault(name, set()).add(str(row.after))
    return found


def test_given_table_when_read_then_every_function_that_it_names_exists() -> None:
    known = {name for name, _ in functions(APP, APP)}
    named = {name for row in TRANSITIONS for name in row.by}
    named |= {f"store.{name}" for row in TRANSITIONS for name in row.write}

    assert named - known == set()


def test_given_engine_when_read_then_it_decides_no_state_that_the_table_lacks() -> None:
    table = decided()

    beyond = {
        name: states - table.get(name, set())
        for name, function in functions(APP / "engine", APP)
        if (states := written(function)) - table.get(name, set())
    }

    assert beyond == {}


def test_given_row_whose_statement_writes_what_it_is_told_when_read_then_its_function_says_so() -> (
    None
):
    of = dict(functions(APP, APP))

    silent = [
        (row.event, name)
        for row in TRANSITIONS
        if set(row.write) and set(row.write) <= DECIDED_ABOVE
        for name in row.by
        if str(row.after) not in written(of[name])
    ]

    assert silent == []


def test_given_planted_function_when_read_then_what_it_writes_is_seen() -> None:
    planted = """
def again(move, row):
    ended = JobState.FAILED if row else JobState.CANCELLED
    move.end(ended)
    operation_writes.decide_failed_operation(move.tx, row.id, {"state": OpState.DROPPED})
    move.change(state=JobState.RUNNING)
"""
    function = ast.parse(planted).body[0]

    assert isinstance(function, ast.FunctionDef)
    assert written(function) == {"failed", "cancelled", "dropped", "running"}


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_given_machine_when_followed_then_every_state_is_reached_and_means_something(
    machine: Machine,
) -> None:
    reached = {str(row.after) for row in TRANSITIONS if row.machine is machine}

    assert reached == set(machine.meaning)
    assert {before for before, _ in changes_of(machine)} <= reached


def test_given_machines_when_followed_then_what_is_final_is_never_left() -> None:
    assert set(final(JOB)) == set(ENDED)
    assert set(final(OPERATION)) == set(AT_REST)
    assert final(LETTER) == (LetterState.CLOSED,)


def test_given_table_when_the_page_of_states_is_made_then_it_is_the_one_in_docs() -> None:
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        import make_states
    finally:
        sys.path.remove(str(ROOT / "docs"))

    assert (ROOT / "docs" / "states.md").read_text() == make_states.page(), (
        "make it anew: .venv/bin/python docs/make_states.py"
    )
