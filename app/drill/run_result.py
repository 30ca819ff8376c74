"""What playing a row leaves behind: a job that has landed, and what happened on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from surefoot.app.errors import SurefootError
from surefoot.app.rules.states import Kind
from surefoot.app.store.rows.jobs import HistoryRow


@dataclass(frozen=True)
class RunResult:
    """`trace`: a line for each thing that happened, in order; `met`: whether what the row says was
    done at all.

    `beside`: jobs that ran beside it; `places`: the lines that the operation came to, where that
    was asked; `kept_in`: no worker can stand still at this line, for a transaction is open there;
    `remembered`: module globals that a worker changed.
    """

    job_id: str
    trace: Sequence[str] = field(default_factory=tuple)
    met: bool = True
    beside: Sequence[str] = ()
    places: Sequence[str] = ()
    kept_in: bool = False
    remembered: Sequence[str] = ()


class NotLanded(SurefootError):
    """The job did not land."""

    def __init__(self, state: str, trace: Sequence[str], step: str = "", why: str = "") -> None:
        """`step`: the one that it waits for; `why`: what keeps it, where that can be told."""
        super().__init__(f"the job did not land: {why or f'it is {state} and moves no more'}")
        self.trace, self.step = trace, step


def line_of(row: HistoryRow) -> str:
    """A line of history as people read it."""
    detail: dict[str, Any] = row.detail or {}
    what = (
        f"{row.step}{'' if row.kind in (None, Kind.ACTION) else f'.{row.kind}'}"
        if row.step
        else "job"
    )
    words = [f"{row.event.replace('_', ' '):<20} {what}"]
    if row.attempt:
        words.append(f"attempt {row.attempt}")
    error = detail.get("error") or {}
    for said in (detail.get("reason"), error.get("message"), detail.get("why")):
        if said:
            words.append(str(said))
            break
    return ", ".join(words)
