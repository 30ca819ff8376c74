"""One row of a drill: what is struck, where, and what makes the job come there.

A row has a name that says all of it, in the words of SUREFOOT_FAULTS where there are such:
`charge_card:crash@after_effect`, `refund`'s is `charge_card.undo:error@before_effect*20`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from surefoot.app.faults import Point, What
from surefoot.app.rules.states import Kind


class Group(StrEnum):
    """Rows that belong together, in the order of the table."""

    PLAIN = "no fault"
    STEP = "step failure"
    UNDO = "compensation retry"
    DUPLICATE = "duplicate delivery"
    CRASH = "mid-saga crash"
    INSIDE = "inside a step"
    LOST = "lost and late messages"
    ZOMBIE = "frozen worker"
    CANCEL = "cancel"
    TWO = "two jobs at once"
    LANE = "lane without a worker"
    OUTAGE = "service outage"


ORDER = (
    *(
        Group.STEP,
        Group.UNDO,
        Group.DUPLICATE,
        Group.CRASH,
        Group.INSIDE,
        Group.LOST,
        Group.ZOMBIE,
        Group.CANCEL,
    ),
    *(Group.TWO, Group.LANE, Group.OUTAGE, Group.PLAIN),
)


class Disturbance(StrEnum):
    """What is done beside the faults of surefoot.app.faults."""

    DUPLICATE = "duplicate"  # its message is delivered five times
    LATE = "late"  # its message comes once more after the job has landed
    LOST = "lost"  # its message is lost by the broker
    EARLY = "early"  # its message comes before those it depends on, and the right one late
    FLUSH = "flush"  # the broker forgets everything while it runs
    FREEZE = (
        "freeze"  # its worker stands still past the lease until the job has landed, then goes on
    )
    KILL_ALL = "kill-all"  # web, relay and worker are killed together while it runs
    CANCEL = "cancel"  # somebody cancels the job while it is there
    GONE = "gone"  # the only worker of a lane is gone for good; another comes when that is told
    OUTAGE = "outage"  # a service is away
    TWO = "two-jobs"  # another job with the same input runs at the same time
    OTHER = (
        "other-job"  # another job with the same input comes and ends while its worker stands still
    )


MESSAGES = (Disturbance.DUPLICATE, Disturbance.LATE, Disturbance.LOST, Disturbance.EARLY)
COPIES = 5
DELAY_S = 1.0
# in the place of a point: strikes at every line of the developer's function, one job each
EACH_LINE = "each_line"
_AT_LINE = re.compile(r"(?P<head>[^@]+)@(?P<line>[^@+]+\.py:\d+)(?P<then>\+undone)?")


@dataclass(frozen=True)
class FaultInjection:
    """One thing that is done to an operation when it reaches a point, so many times.

    `target`: as in surefoot.app.faults.
    """

    target: str
    what: What | Disturbance
    point: Point
    times: int = 1

    @property
    def fault(self) -> str:
        """As SUREFOOT_FAULTS has it."""
        amount = f"={DELAY_S:g}" if self.what == What.DELAY else ""
        return f"{self.target}:{self.what}{amount}@{self.point}" + (
            f"*{self.times}" if self.times > 1 else ""
        )


@dataclass(frozen=True)
class Row:
    """One schedule: what is struck, and what makes the job come there.

    `operation`: step, step.undo or step.confirm; "" where the whole saga is meant. `first`: what
    must happen before, so that there is something to undo; `then`: what happens once the strike
    has. `service`: whose outage it is; `lane`: whose workers are gone. `exhausts`: the operation is
    out of attempts afterwards. `line`: where inside the developer's function it strikes, EACH_LINE
    or `file.py:57`; "" where it does not.
    """

    name: str
    group: Group
    fault: str
    operation: str = ""
    point: str = ""
    strike: FaultInjection | None = None
    trick: Disturbance | None = None
    first: tuple[FaultInjection, ...] = ()
    then: tuple[FaultInjection, ...] = ()
    service: str = ""
    lane: str = ""
    exhausts: bool = False
    example: int = 0
    line: str = ""

    @property
    def inside(self) -> bool:
        """Whether it strikes between the lines of the developer's function."""
        return bool(self.line)

    def at(self, line: str) -> Row:
        """This row at one line only, `file.py:57`."""
        name = self.name.replace(f"@{self.line}", f"@{line}")
        return replace(self, name=name, point=line, line=line)

    @property
    def step(self) -> str:
        return self.operation.partition(".")[0]

    @property
    def kind(self) -> str:
        return self.operation.partition(".")[2] or Kind.ACTION

    @property
    def strikes(self) -> tuple[FaultInjection, ...]:
        return (*self.first, *((self.strike,) if self.strike is not None else ()), *self.then)


def chosen(rows: Iterable[Row], only: str | None) -> list[Row]:
    """The rows that `only` names: a row, a group, an operation, or a part of the name; all when it
    says nothing.

    A row that strikes at each line may be named at one of them: `charge_card:crash@payment.py:57`.
    """
    rows = list(rows)
    if not only:
        return rows
    if at := _AT_LINE.fullmatch(only):
        name = f"{at['head']}@{EACH_LINE}{at['then'] or ''}"
        return [row.at(at["line"]) for row in rows if row.name == name]
    for fits in (
        lambda r: r.name == only,
        lambda r: r.group == only,
        lambda r: r.operation == only,
        lambda r: only in r.name,
    ):
        found = [row for row in rows if fits(row)]
        if found:
            return found
    return []
