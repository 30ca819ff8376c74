"""What came out of a drill: a line for each row, and the schedule of the shortest that failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from surefoot.app.drill.row import Row


@dataclass(frozen=True)
class Finding:
    """What did not hold, in one sentence.

    `step`: the step that it is about, "" where that cannot be told.
    """

    step: str
    says: str


@dataclass(frozen=True)
class Result:
    """One row, played.

    `job_state`: where the job landed by itself; `redriven_to`: and where after a person's answer,
    "" when none was asked; `findings`: what did not hold; `attempts`: of the operation that was
    struck; `lines`: how many lines of the developer's function were struck, one job each, of
    `lines_in_all`; `lines_kept_in`: at how many more a worker was to stand still and a transaction
    was open, so that it went on.
    """

    row: Row
    job_state: str
    outcome: str = ""
    services: Mapping[str, str] = field(default_factory=dict)
    attempts: int = 0
    redriven_to: str = ""
    findings: Sequence[Finding] = ()
    trace: Sequence[str] = ()
    lines: int = 0
    lines_in_all: int = 0
    lines_kept_in: int = 0

    @property
    def passed(self) -> bool:
        return not self.findings

    @property
    def skipped(self) -> bool:
        """Whether nothing was tried: a transaction was open at each line."""
        return self.passed and self.lines_kept_in > 0 and not self.lines

    @property
    def why(self) -> str:
        """All findings in one line, "" when it passed."""
        return "; ".join(dict.fromkeys(finding.says for finding in self.findings))

    @property
    def step(self) -> str:
        """The step that the first finding is about, "" when it passed."""
        return next((finding.step for finding in self.findings if finding.step), "")

    def to_json(self) -> dict[str, Any]:
        """As `surefoot drill --json` prints it."""
        return {
            "row": self.row.name,
            "group": str(self.row.group),
            "fault": self.row.fault,
            "operation": self.row.operation,
            "point": self.row.point,
            "job_state": self.job_state,
            "redriven_to": self.redriven_to,
            "outcome": self.outcome,
            "services": dict(self.services),
            "attempts": self.attempts,
            "lines": self.lines,
            "lines_in_all": self.lines_in_all,
            "lines_kept_in": self.lines_kept_in,
            "skipped": self.skipped,
            "pass": self.passed and not self.skipped,
            "step": self.step,
            "why": self.why,
            "findings": [{"step": finding.step, "says": finding.says} for finding in self.findings],
        }


@dataclass(frozen=True)
class Report:
    """A whole drill.

    `left_out`: names of rows that were not played, and why; `real`: on real processes.

    `can_begin_again`: each failure was followed by a fresh test environment. Without one what a
    failure left behind may be what makes a later row fail, so only the first is told as a schedule.
    """

    saga: str
    seed: int
    results: Sequence[Result]
    real: bool = False
    left_out: Mapping[str, str] = field(default_factory=dict)
    can_begin_again: bool = True

    @property
    def failed(self) -> list[Result]:
        return [result for result in self.results if not result.passed]

    @property
    def skipped(self) -> list[Result]:
        """Rows that were not tried at all."""
        return [result for result in self.results if result.skipped]

    @property
    def kept_in(self) -> tuple[int, int]:
        """Where a worker was to stand still: (lines at which a transaction was open, lines that
        were tried).
        """
        rows = [result for result in self.results if result.lines_kept_in]
        kept_in = sum(result.lines_kept_in for result in rows)
        return kept_in, kept_in + sum(result.lines for result in rows)

    @property
    def shortest_failing(self) -> Result | None:
        """Of the rows that failed the one with the shortest schedule: the quickest to read."""
        if not self.can_begin_again:
            return next(iter(self.failed), None)
        return min(
            self.failed,
            key=lambda result: (len(result.trace) or 10**6, result.row.name),
            default=None,
        )

    def replay(self, result: Result) -> str:
        """The command that plays this row again, alone."""
        real = " --real" if self.real else ""
        return f"surefoot drill {self.saga}{real} --only '{result.row.name}' --seed {self.seed}"

    def to_json(self) -> dict[str, Any]:
        """{"saga", "seed", "rows", "passed", "failed", "skipped", "left_out", "shortest_failing"}.

        Skipped rows have not passed.
        """
        worst = self.shortest_failing
        schedule = (
            None
            if worst is None
            else {
                "row": worst.row.name,
                "replay": self.replay(worst),
                "schedule": list(worst.trace),
            }
        )
        return {
            "saga": self.saga,
            "seed": self.seed,
            "rows": [result.to_json() for result in self.results],
            "passed": len(self.results) - len(self.failed) - len(self.skipped),
            "failed": len(self.failed),
            "skipped": len(self.skipped),
            "left_out": dict(self.left_out),
            "shortest_failing": schedule,
        }
