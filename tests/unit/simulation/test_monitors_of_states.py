"""The monitors of a simulated store know each change of a state that the table of transitions has, and no other."""

from __future__ import annotations

import sqlite3
from itertools import permutations

import pytest

from surefoot.app.rules.machines import MACHINES, Machine
from surefoot.app.rules.transitions import changes_of
from surefoot.app.simulation.monitors import CHANGES


def objected(machine: Machine, before: str, after: str) -> bool:
    """Whether the monitor of this machine objects to the change."""
    (condition,) = (
        condition
        for sentence, (_, condition) in CHANGES.items()
        if sentence.startswith(f"{machine.name}: ")
    )
    store = sqlite3.connect(":memory:")
    store.execute("CREATE TABLE old (state TEXT)")
    store.execute("CREATE TABLE new (state TEXT)")
    store.execute("INSERT INTO old VALUES (?)", (before,))
    store.execute("INSERT INTO new VALUES (?)", (after,))
    (found,) = store.execute(f"SELECT {condition} FROM old, new").fetchone()
    store.close()
    return bool(found)


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_given_change_of_a_state_when_monitored_then_only_those_of_the_table_pass(
    machine: Machine,
) -> None:
    passed = {
        (before, after)
        for before, after in permutations([str(state) for state in machine.meaning], 2)
        if not objected(machine, before, after)
    }

    assert passed == changes_of(machine)
    assert not objected(machine, *[str(next(iter(machine.meaning)))] * 2), "what stays may stay"
