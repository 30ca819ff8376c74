"""Playing a row, and what is made of it: judged when the job has landed, and again when a person
has answered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Engine, select

from surefoot.app.drill.compared import left_behind, snapshot_of
from surefoot.app.drill.expect import ANYTHING, Expected
from surefoot.app.drill.inside import spread
from surefoot.app.drill.operator_stub import answer
from surefoot.app.drill.row import EACH_LINE, Group, Row
from surefoot.app.drill.run_result import NotLanded, RunResult
from surefoot.app.drill.scenery import Session
from surefoot.app.drill.table import Finding, Result
from surefoot.app.drill.verify import expected_letters, unmeant, wrong
from surefoot.app.drill.world import World
from surefoot.app.errors import StoreUnavailable
from surefoot.app.rules.states import JobState
from surefoot.app.saga.definition import Saga
from surefoot.app.store.session import reading
from surefoot.app.store.tables import operations

Begins = Callable[[Row], None]
MOST_QUESTIONS = 5  # how often a person answers for one job


class Playing:
    """Plays rows of a saga in its scenery, one after the other."""

    def __init__(
        self, saga: Saga[Any], scenery: Session, begins: Begins = lambda row: None
    ) -> None:
        """`begins`: told of each job that is about to be played, so that one that hangs has a name."""
        self._saga, self._scenery, self._begins = saga, scenery, begins
        self._places: dict[str, tuple[str, ...]] = {}  # operation -> the lines that it came to

    def play(self, row: Row, input: dict[str, Any], wanted: Expected) -> Result:  # noqa: A002
        """One row, one job. What is wrong is made good by a fresh world for the next."""
        result, _ = self._played(row, input, wanted)
        return result

    def line_by_line(self, row: Row, input: dict[str, Any], wanted: Expected) -> list[Result]:  # noqa: A002
        """A row that strikes inside a function: one job for each line.

        One result when all passed, else those that did not.
        """
        places = self._lines_of(row, input) if row.line == EACH_LINE else (row.line,)
        struck: list[Result] = []
        kept_in = 0
        for place in spread(places, self._scenery.player.settings.drill_lines):
            result, played = self._played(row.at(place), input, wanted)
            if played is not None and played.kept_in:
                kept_in += 1
            else:
                struck.append(replace(result, lines=1, lines_in_all=1))
        failed = _once_each([result for result in struck if not result.passed])
        summary = _summary(row, struck, len(places))
        return failed or [replace(summary, lines_kept_in=kept_in)]

    def _lines_of(self, row: Row, input: dict[str, Any]) -> tuple[str, ...]:  # noqa: A002
        """The lines that the row's operation comes to when nothing is done to it. Asked once."""
        if row.operation not in self._places:
            _, played = self._played(replace(row, then=()), input, ANYTHING)
            self._places[row.operation] = () if played is None else tuple(played.places)
        return self._places[row.operation]

    def _played(
        self,
        row: Row,
        input: dict[str, Any],  # noqa: A002
        wanted: Expected,
    ) -> tuple[Result, RunResult | None]:
        player, played = self._scenery.player, None
        self._begins(row)
        before = snapshot_of(self._scenery.own)
        try:
            played = player.play(row, input)
            player.bring_back()
            result = self._judged(row, played, wanted, before)
        except NotLanded as error:
            player.bring_back()
            result = Result(
                row,
                "not landed",
                findings=(Finding(error.step or row.step, error.message),),
                trace=error.trace,
            )
        except (
            StoreUnavailable
        ) as error:  # what the row did has left a lock behind, say; the next row has a fresh store
            says = f"the drill could not ask its store: {error.message}"
            result = Result(row, "unknown", findings=(Finding(row.step, says),))
        if not result.passed:
            self._scenery.begin()
        return result, played

    def _judged(self, row: Row, played: RunResult, wanted: Expected, before: Any) -> Result:
        player, world = self._scenery.player, self._world(played.job_id)
        landed = str(world.job.state)
        found = wrong(player.db, self._saga, world, wanted.lands, wanted.letters)
        for job_id in played.beside:
            found += wrong(player.db, self._saga, self._world(job_id), ANYTHING.lands, None)
        asked = landed == JobState.ATTENTION
        if asked:
            world = self._answered(world)
            found += wrong(
                player.db, self._saga, world, wanted.ends, expected_letters(wanted, asked=True)
            )
        if row.group == Group.PLAIN:
            found += unmeant(player.db, world)
        if not played.beside:
            found += left_behind(world, before)
        if found and played.remembered:
            names = ", ".join(played.remembered)
            found.append(
                Finding("", f"(steps have changed {names}, which each worker has for itself)")
            )
        about = row.step or str(
            (world.job.error or {}).get("step") or ""
        )  # of findings that name no step
        if not played.met:
            found.append(
                Finding(
                    row.step, "the job never came to the point of this fault, so nothing was tried"
                )
            )
        return Result(
            row,
            landed,
            str(world.view["outcome"]),
            world.services(),
            _attempts(player.db, played.job_id, row),
            str(world.job.state) if asked else "",
            tuple(
                finding if finding.step else replace(finding, step=about)
                for finding in dict.fromkeys(found)
            ),
            tuple(played.trace),
        )

    def _answered(self, world: World) -> World:
        """The world after a person has answered what the job asks, again and again if need be."""
        player = self._scenery.player
        for _ in range(MOST_QUESTIONS):
            if world.job.state != JobState.ATTENTION:
                break
            for said, plan in answer(player.db, player.settings, self._saga, world):
                player.say(f"a person: {said}")
                player.publish_plan(plan)
            player.go_on()
            world = self._world(world.job.id)
        return world

    def _world(self, job_id: str) -> World:
        return World(self._scenery.player.db, self._saga, job_id, self._scenery.own)


def _once_each(failed: Sequence[Result]) -> list[Result]:
    """Lines that failed with the same words are told as one, by the first of them."""
    by_words: dict[str, list[Result]] = {}
    for result in failed:
        by_words.setdefault(result.why, []).append(result)
    return [
        replace(first, lines=1 + len(others), lines_in_all=1 + len(others))
        for first, *others in by_words.values()
    ]


def _summary(row: Row, struck: Sequence[Result], lines: int) -> Result:
    """All lines passed: what they came to, as one row of the table."""

    def each(words: Sequence[str]) -> str:
        return " or ".join(sorted({word for word in words if word}))

    services = {
        name: each([result.services[name] for result in struck])
        for result in struck[:1]
        for name in result.services
    }
    return Result(
        row,
        each([result.job_state for result in struck]),
        each([result.outcome for result in struck]),
        services,
        max((result.attempts for result in struck), default=0),
        each([result.redriven_to for result in struck]),
        lines=len(struck),
        lines_in_all=lines,
    )


def _attempts(db: Engine, job_id: str, row: Row) -> int:
    """Of the operation that was struck; of the one that took most where the row is about the whole
    saga.
    """
    o = operations.c
    with reading(db) as connection:
        rows = connection.execute(
            select(o.step, o.kind, o.attempts).where(o.job_id == job_id)
        ).all()
    return max(
        (r.attempts for r in rows if not row.operation or (r.step, r.kind) == (row.step, row.kind)),
        default=0,
    )
