"""A whole drill: may it start, what is played, and what is made of each row."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from typing import Any, Protocol, cast

from sqlalchemy import Engine, select

from app.config import Settings
from app.drill import real
from app.drill.expect import CANCELLED, COMPLETED, FAILED, Expected, expected
from app.drill.inprocess import InProcess
from app.drill.judge import expected_letters, wrong
from app.drill.person import answer
from app.drill.plan import Group, Row, chosen, rows_of
from app.drill.played import NotLanded, Played
from app.drill.processes import processes
from app.drill.table import Report, Result
from app.drill.world import World
from app.errors import RequestError, SettingsError, StoreUnavailable
from app.rules.planner import Plan
from app.rules.states import JobState
from app.saga.definition import Saga
from app.store.session import reading
from app.store.tables import operations

ENV = "SUREFOOT_ENV"
REAL_S = 600.0  # how long a real drill may begin rows
MOST_QUESTIONS = 5  # how often a person answers for one job
Say = Callable[[Result], None]
# an example may end as its developer meant it to, but it has to land, and no person is asked
ANYTHING = Expected(COMPLETED | FAILED | CANCELLED, COMPLETED | FAILED | CANCELLED, None)


class Player(Protocol):
    """Whoever plays rows: in one process, or with real ones."""

    db: Engine
    settings: Settings

    def play(self, row: Row, input: dict[str, Any]) -> Played: ...  # noqa: A002
    def bring_back(self) -> None: ...
    def ring(self, plan: Plan) -> None: ...
    def go_on(self) -> None: ...
    def say(self, text: str) -> None: ...


def drill(saga: Saga[Any], *, seed: int = 0, only: str | None = None, say: Say = lambda result: None) -> Report:
    """Play every row of a saga in this process, on databases of the drill's own.

    Raises: SettingsError when it must not start; RequestError when `only` names no row, or there are no examples.
    """

    def in_process(own: Any) -> AbstractContextManager[Player]:
        return nullcontext(InProcess(saga, seed=seed, outage=getattr(own, "outage", None)))

    with Scenery(saga, in_process) as scenery:
        return Report(saga.name, seed, list(play_all(saga, scenery, only, say)), can_begin_again=saga.world is not None)


def drill_real(
    saga: Saga[Any], *, seed: int = 0, only: str | None = None, seconds: float = REAL_S, say: Say = lambda result: None
) -> Report:
    """Play rows on real processes, in a home of their own: one of each kind for each operation, or what `only` names.

    `seconds`: no row is begun later. Raises: as `drill`; SettingsError without a broker; CannotStart; Stopped when a signal came.
    """
    wanted = [row for row in plan(saga, only) if only or real.core(row)]
    left_out = {row.name: why for row in wanted if (why := real.suits(row))}
    rows = [row for row in wanted if row.name not in left_out]
    faults = real.faults_of(saga, rows)

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
    with Scenery(saga, on_processes) as scenery:
        names = {row.name for row in rows}
        for result in play_all(saga, scenery, only, say, lambda row: row.name in names and time.monotonic() - began < seconds):
            results.append(result)
    played = {result.row.name for result in results}
    left_out |= {row.name: f"its turn did not come within {seconds:g} s" for row in rows if row.name not in played}
    return Report(saga.name, seed, results, real=True, left_out=left_out, can_begin_again=saga.world is not None)


class Scenery(AbstractContextManager["Scenery"]):
    """The drill world and the player in it. Made anew after a row that failed, so that the next ones do not suffer from it."""

    own: Any
    player: Player

    def __init__(self, saga: Saga[Any], make_player: Callable[[Any], AbstractContextManager[Player]]) -> None:
        """Raises: as `may_start`."""
        may_start(saga)
        self._saga, self._make_player = saga, make_player
        self._stack = ExitStack()

    def __enter__(self) -> Scenery:
        self.begin()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def begin(self) -> None:
        """Everything of before is gone; a fresh world, a fresh store."""
        self._stack.close()
        self._stack.enter_context(_drill_environment())
        self.own = self._stack.enter_context(self._saga.world()) if self._saga.world is not None else None
        self.player = self._stack.enter_context(self._make_player(self.own))

    def outages(self) -> list[str]:
        """The services that the drill world can take away: asked, and not taken."""
        outage = getattr(self.own, "outage", None)
        return [service for service in self._saga.effect_readers if outage is not None and outage(service) is not None]


def plan(saga: Saga[Any], only: str | None = None) -> list[Row]:
    """The rows that a drill of this saga plays. Raises: as `drill`."""
    with Scenery(saga, lambda own: nullcontext(cast(Player, None))) as scenery:
        return chosen(rows_of(saga.graph, examples=len(saga.examples), outages=scenery.outages()), only)


def may_start(saga: Saga[Any]) -> None:
    """Raises: SettingsError in production, and for a saga that would call the real world; RequestError without examples."""
    if os.environ.get(ENV) == "production":
        raise SettingsError(f"{ENV}=production: a drill makes faults on purpose, so it does not start here")
    unsafe = [step.name for step in saga if not step.safe_to_drill]
    if saga.world is None and unsafe:
        raise SettingsError(
            f"saga {saga.name} does not say what it may be drilled in, and a drill never calls the real world. "
            f"Declare @{saga.name}.drill_world, or say safe_to_drill=True at each step that touches nothing real "
            f"(not said of {', '.join(unsafe)})"
        )
    if not saga.examples:
        raise RequestError(f"saga {saga.name} has no examples: give it some, Saga({saga.name!r}, …, examples=[…])")


@contextmanager
def _drill_environment() -> Iterator[None]:
    before = os.environ.get(ENV)
    os.environ[ENV] = "drill"
    try:
        yield
    finally:
        os.environ.pop(ENV)
        if before is not None:
            os.environ[ENV] = before


def play_all(
    saga: Saga[Any], scenery: Scenery, only: str | None, say: Say, may_play: Callable[[Row], bool] = lambda row: True
) -> Iterator[Result]:
    """First the examples as they are; the first that completes is what all faults are tried on."""
    inputs = [example.model_dump(mode="json", by_alias=True) for example in saga.examples]
    plain = [row for row in rows_of(saga.graph, examples=len(inputs)) if row.group == Group.PLAIN]
    plain_results = [_play(saga, scenery, row, inputs[row.example], ANYTHING) for row in plain]
    completing = next((r.row.example for r in plain_results if r.job_state == JobState.COMPLETED), None)
    wanted = chosen(rows_of(saga.graph, examples=len(inputs), example=completing or 0, outages=scenery.outages()), only)
    if not wanted:
        raise RequestError(f"saga {saga.name} has no row, group or operation {only!r}; `surefoot drill {saga.name} --list` shows them")
    if completing is None:
        yield from _told(say, [_none_completes(result) for result in plain_results])
        return
    done = {result.row.name: result for result in plain_results}
    for row in filter(may_play, wanted):
        expects = expected(saga.graph, row, JobState.COMPLETED)
        yield from _told(say, [done.get(row.name) or _play(saga, scenery, row, inputs[row.example], expects)])


def _told(say: Say, results: Sequence[Result]) -> Iterator[Result]:
    for result in results:
        say(result)
        yield result


def _none_completes(result: Result) -> Result:
    why = f"none of the examples completes without a fault, so there is nothing to try faults on (this one: {result.job_state})"
    return replace(result, why=result.why or why)


def _play(saga: Saga[Any], scenery: Scenery, row: Row, input: dict[str, Any], wanted: Expected) -> Result:  # noqa: A002
    player = scenery.player
    try:
        played = player.play(row, input)
        player.bring_back()
        result = _judged(saga, scenery.own, player, row, played, wanted)
    except NotLanded as error:
        player.bring_back()
        result = Result(row, "not landed", why=error.message, trace=error.trace)
    except StoreUnavailable as error:  # what the row did has left a lock behind, say; the next row has a fresh store
        result = Result(row, "unknown", why=f"the drill could not ask its store: {error.message}")
    if not result.passed:
        scenery.begin()
    return result


def _judged(saga: Saga[Any], own: Any, player: Player, row: Row, played: Played, wanted: Expected) -> Result:
    world = World(player.db, saga, played.job_id, own)
    landed = str(world.job.state)
    found = wrong(player.db, saga, world, wanted.lands, wanted.letters)
    asked = landed == JobState.ATTENTION
    for _ in range(MOST_QUESTIONS):
        if world.job.state != JobState.ATTENTION:
            break
        for said, plan in answer(player.db, player.settings, saga, world):
            player.say(f"a person: {said}")
            player.ring(plan)
        player.go_on()
        world = World(player.db, saga, played.job_id, own)
    if asked:
        found += wrong(player.db, saga, world, wanted.ends, expected_letters(wanted, asked=True))
    if not played.met:
        found.append("the job never came to the point of this fault, so nothing was tried")
    return Result(
        row,
        landed,
        str(world.view["outcome"]),
        world.services(),
        _attempts(player.db, played.job_id, row),
        str(world.job.state) if asked else "",
        "; ".join(dict.fromkeys(found)),
        tuple(played.trace),
    )


def _attempts(db: Engine, job_id: str, row: Row) -> int:
    """Of the operation that was struck; of the one that took most where the row is about the whole saga."""
    o = operations.c
    with reading(db) as connection:
        rows = connection.execute(select(o.step, o.kind, o.attempts).where(o.job_id == job_id)).all()
    return max((r.attempts for r in rows if not row.operation or (r.step, r.kind) == (row.step, row.kind)), default=0)
