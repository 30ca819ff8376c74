"""Makes docs/states.md from `app/rules/transitions.py`: `.venv/bin/python docs/make_states.py`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from surefoot.app.rules.machines import MACHINES, Machine
from surefoot.app.rules.transitions import TRANSITIONS, Transition, final

HEAD = """# States

Every state of a job, an operation and a dead letter, and every change from one to another.
This page is made from the table in `app/rules/transitions.py` by `docs/make_states.py`; a test keeps them the same.
Another test runs each UPDATE of these tables against rows in every state and compares what it changed with the table.
The simulation's monitors object to any other change while it happens.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(line for machine in MACHINES for line in _machine(machine))])


def _machine(machine: Machine) -> Iterator[str]:
    rows = [row for row in TRANSITIONS if row.machine is machine]
    yield f"## {machine.name.capitalize()}\n"
    yield "```text"
    yield from _diagram(rows)
    yield "```\n"
    for state, meaning in machine.meaning.items():
        yield f"### {machine.name.capitalize()}: {state}\n"
        yield _lines(meaning) + "\n"
        yield "Set by:\n"
        yield from dict.fromkeys(_told(row, rows) for row in rows if row.after == state)
        then: dict[str, list[str]] = {}
        for row in rows:
            if row.before == state and row.event not in then.setdefault(str(row.after), []):
                then[str(row.after)].append(row.event)
        if then:
            told = (f"`{after}` ({', '.join(events)})" for after, events in then.items())
            yield f"\nThen: {', '.join(told)}.\n"
        else:
            assert state in final(machine)
            yield "\nFinal: nothing leaves it.\n"


def _diagram(rows: list[Transition]) -> Iterator[str]:
    """One line for each state that is left and each that follows, with what happens between them."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        pair = (str(row.before or "(new)"), str(row.after))
        if row.event not in arrows.setdefault(pair, []):
            arrows[pair].append(row.event)
    wide = max(len(before) for before, _ in arrows)
    said = max(len(", ".join(events)) for events in arrows.values())
    left = ""
    for (before, after), events in sorted(arrows.items(), key=lambda arrow: _order(arrow[0], rows)):
        shown = before if before != left else ""
        yield f"{shown:<{wide}}  --{', '.join(events).center(said + 2)}-->  {after}"
        left = before


def _order(pair: tuple[str, str], rows: list[Transition]) -> tuple[int, int]:
    """As the states stand in their enum; what is new comes first."""
    states = ["(new)", *(str(state) for state in rows[0].machine.states)]
    return states.index(pair[0]), states.index(pair[1])


def _told(row: Transition, rows: list[Transition]) -> str:
    """One line for all that happens alike from several states."""
    alike = [
        one
        for one in rows
        if (one.event, one.after, one.guard) == (row.event, row.after, row.guard)
    ]
    start = " or ".join(f"`{one.before}`" for one in alike if one.before is not None)
    origin = f"from {start}" if start else "new"
    return f"- {_lines(f'**{row.event}** ({origin}): {row.who}. Guard: {row.guard}.', '  ')}"


def _lines(text: str, indent: str = "") -> str:
    """One sentence a line."""
    return text.replace(". ", f".\n{indent}")


if __name__ == "__main__":
    Path(__file__).with_name("states.md").write_text(page())
