"""A whole drill: may it start, what is played, and what is made of each row."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, cast

from surefoot.app.drill import real, real_rows
from surefoot.app.drill.expect import expected, of_example
from surefoot.app.drill.inprocess import InProcess
from surefoot.app.drill.plan import rows_of
from surefoot.app.drill.playing import Begins, Playing
from surefoot.app.drill.processes import processes
from surefoot.app.drill.row import Group, Row, chosen
from surefoot.app.drill.scenery import Runner, Session
from surefoot.app.drill.table import Finding, Report, Result
from surefoot.app.errors import RequestError
from surefoot.app.rules.states import JobState
from surefoot.app.saga.definition import Saga

REAL_S = 600.0  # how long a real drill may begin rows


@dataclass(frozen=True)
class Watch:
    """An observer: told of each job that is about to be played, and of each row that came of it."""

    begins: Begins = lambda row: None
    ended: Callable[[Result], None] = lambda result: None


NOBODY = Watch()


def drill(
    saga: Saga[Any], *, seed: int = 0, only: str | None = None, watch: Watch = NOBODY
) -> Report:
    """Play every row of a saga in this process, on databases of the drill's own.

    Raises: SettingsError when it must not start; RequestError when `only` names no row, or
    without examples.
    """

    def in_process(own: Any) -> AbstractContextManager[Runner]:
        return nullcontext(InProcess(saga, seed=seed, own=own))

    with Session(saga, in_process) as scenery:
        return Report(
            saga.name,
            seed,
            list(play_all(saga, scenery, only, watch)),
            can_begin_again=saga.world is not None,
        )


def drill_real(
    saga: Saga[Any],
    *,
    seed: int = 0,
    only: str | None = None,
    seconds: float = REAL_S,
    watch: Watch = NOBODY,
) -> Report:
    """Play rows on real processes, in a home of their own: one of each kind for each operation, or
    what `only` names.

    `seconds`: no row is begun later. Raises: as `drill`; SettingsError without a broker;
    CannotStart; Stopped when a signal came.
    """
    wanted = [row for row in plan(saga, only) if only or real_rows.core(row)]
    left_out = {row.name: why for row in wanted if (why := real_rows.suits(row))}
    rows = [row for row in wanted if row.name not in left_out]
    faults = real_rows.faults_of(saga, rows)

    @contextmanager
    def on_processes(own: Any) -> Iterator[real.RealProcesses]:
        with processes(faults) as running:
            player = real.RealProcesses(saga, running, faults, getattr(own, "outage", None))
            try:
                yield player
            finally:
                player.close()

    results: list[Result] = []
    began = time.monotonic()
    with Session(saga, on_processes) as scenery:
        names = {row.name for row in rows}
        for result in play_all(
            saga,
            scenery,
            only,
            watch,
            lambda row: row.name in names and time.monotonic() - began < seconds,
        ):
            results.append(result)
    played = {result.row.name for result in results}
    left_out |= {
        row.name: f"its turn did not come within {seconds:g} s"
        for row in rows
        if row.name not in played
    }
    return Report(
        saga.name,
        seed,
        results,
        real=True,
        left_out=left_out,
        can_begin_again=saga.world is not None,
    )


def plan(saga: Saga[Any], only: str | None = None) -> list[Row]:
    """The rows that a drill of this saga plays. Raises: as `drill`."""
    with Session(saga, lambda own: nullcontext(cast(Runner, None))) as scenery:
        return chosen(
            rows_of(saga.graph, examples=len(saga.examples), outages=scenery.outages()), only
        )


def play_all(
    saga: Saga[Any],
    scenery: Session,
    only: str | None,
    watch: Watch,
    may_play: Callable[[Row], bool] = lambda row: True,
) -> Iterator[Result]:
    """First the examples as they are; the first that completes is what all faults are tried on."""
    inputs = [example.model_dump(mode="json", by_alias=True) for example in saga.examples]
    plain = [row for row in rows_of(saga.graph, examples=len(inputs)) if row.group == Group.PLAIN]
    playing = Playing(saga, scenery, watch.begins)
    plain_results = [
        playing.play(row, inputs[row.example], of_example(saga.example_ends[row.example]))
        for row in plain
    ]
    completing = next(
        (r.row.example for r in plain_results if r.job_state == JobState.COMPLETED), None
    )
    wanted = chosen(
        rows_of(
            saga.graph, examples=len(inputs), example=completing or 0, outages=scenery.outages()
        ),
        only,
    )
    if not wanted:
        raise RequestError(
            f"saga {saga.name} has no row, group or operation {only!r}; `surefoot drill {saga.name} --list` shows them"
        )
    if completing is None:
        yield from _told(watch, [_none_completes(result) for result in plain_results])
        return
    done = {result.row.name: result for result in plain_results}
    for row in filter(may_play, wanted):
        expects = expected(saga.graph, row, JobState.COMPLETED)
        if row.inside:
            yield from _told(watch, playing.line_by_line(row, inputs[row.example], expects))
        else:
            yield from _told(
                watch, [done.get(row.name) or playing.play(row, inputs[row.example], expects)]
            )


def _told(watch: Watch, results: Sequence[Result]) -> Iterator[Result]:
    for result in results:
        watch.ended(result)
        yield result


def _none_completes(result: Result) -> Result:
    why = f"none of the examples completes without a fault, so there is nothing to try faults on (this one: {result.job_state})"
    return result if result.findings else replace(result, findings=(Finding("", why),))
