"""Which rows are played on real processes, and the faults that their processes are told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from surefoot.app.drill.row import Disturbance, FaultInjection, Row
from surefoot.app.faults import MOST_TIMES, Fault, Point, What
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.naming import task_name

HOLD_S = 1.5  # how long a delay holds a job at a point, while something is done to it
LONGEST_CRASHES = 5  # each costs a child, which takes a second to come back


def suits(row: Row) -> str:
    """Why a row is not played on real processes; "" when it is."""
    if row.trick == Disturbance.LOST:
        return "a real broker loses a message when it likes, so this is played in one process only"
    if row.inside:
        return "it strikes between the lines of a step, so this is played in one process only"
    if row.trick == Disturbance.TWO:
        return "two jobs at once are played in one process only"
    if row.trick == Disturbance.GONE:
        return "each of its workers takes every lane, so this is played in one process only"
    if (
        row.strike is not None
        and row.strike.what == What.CRASH
        and row.strike.times > LONGEST_CRASHES
    ):
        return f"{row.strike.times} crashes take minutes; played in one process"
    return ""


def core(row: Row) -> bool:
    """Whether a row belongs to the drill that ends in a few minutes: one of each kind for each
    operation, and all crashes.
    """
    strike = row.strike
    if row.inside or row.trick == Disturbance.TWO:
        return False
    if strike is None or row.trick == Disturbance.OUTAGE:
        return True
    if strike.what == What.CRASH:
        return strike.times == 1
    if strike.what in (What.REJECT, What.FAIL, Disturbance.FLUSH):
        return True
    if strike.what == Disturbance.CANCEL:
        return strike.point == Point.BEFORE_EFFECT
    return strike.point == Point.AFTER_EFFECT or bool(row.then)


def faults_of(saga: Saga[Any], rows: Iterable[Row]) -> tuple[Fault, ...]:
    """Every fault that these rows need, each to be told once."""
    found: dict[str, Fault] = {}
    for row in rows:
        for strike in row.strikes:
            fault = fault_of(strike)
            found[fault.key] = fault
        if row.trick == Disturbance.DUPLICATE:
            fault = held_at(task_name(saga.name, row.step, row.kind), Point.BEFORE_EFFECT)
            found[fault.key] = fault
    return tuple(found.values())


def fault_of(strike: FaultInjection) -> Fault:
    if isinstance(strike.what, Disturbance):
        return held_at(strike.target, strike.point)
    seconds = HOLD_S if strike.what == What.DELAY else 0.0
    return Fault(strike.target, strike.what, strike.point, MOST_TIMES, seconds)


def held_at(target: str, point: Point) -> Fault:
    return Fault(target, What.DELAY, point, MOST_TIMES, HOLD_S)
