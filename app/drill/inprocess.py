"""A drill in one process: the real engine on real SQL, with broker, clock and workers that do what the row says.

A worker is a call of `perform`; its death is an exception that no code of a step can catch; the hour between two attempts is a
number that is raised. What is left to chance (which message is next, whether a dead worker's message comes back at once or
only by the sweep) is drawn from the seed and the row's name, so a row comes out the same alone as among all others.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any

from sqlalchemy import Engine, select

from app import faults
from app.access import tenants
from app.config import Settings
from app.drill.plan import DELAY_S, Row, Strike, Trick
from app.drill.played import NotLanded, Played, line_of
from app.drill.post import Post
from app.engine import decide, keep
from app.engine.dispatch import ring
from app.engine.move import message_of
from app.engine.parcel import Parcel
from app.engine.perform import perform, run_on
from app.engine.submit import Submission, submit
from app.engine.sweep import Sweeper
from app.engine.work import Performed
from app.errors import Conflict, StoreUnavailable
from app.faults import Crashed, Injected, InjectedRefusal, Point, What
from app.rules.planner import Plan
from app.rules.states import ENDED, LIVE, JobState, OpState
from app.saga.definition import Saga
from app.saga.naming import parse_task_name
from app.saga.registry import Registry
from app.simulation.clock import START
from app.simulation.store import store_of_this_process
from app.store.catalogue import register
from app.store.session import reading
from app.store.tables import history, jobs, operations

ACTOR = "drill"
MOST_TURNS = 2000  # messages and sweeps of one row
OUTAGE_TURNS = 400  # after so many a job that is still there only waits for the service, which then comes back
BEAT_S = 0.001  # how long after something is due it is looked for
SWEEPS_BESIDE = 0.03  # how often the relay sweeps while there are messages
WORKERS = 2
Outage = Callable[[str], AbstractContextManager[Any] | None]


class InProcess:
    """Plays rows one after the other on one store. `outage`: how the drill world takes a service away.

    There is one at a time in a process: a new one empties the store of the last.
    """

    def __init__(self, saga: Saga[Any], *, seed: int, outage: Outage | None = None) -> None:
        self.saga, self.graph = saga, saga.graph
        self._seed, self._outage = seed, outage
        self._store = store_of_this_process()  # in memory: made once, emptied for each drill
        self.db: Engine = self._store.engine
        self.settings = Settings(env="drill", faults="", sagas="", lease_seconds=15, heartbeat_seconds=5, lost_seconds=60)
        self._registry = Registry([saga])
        register(self.db, [saga])
        self._tenant = tenants.ensure(self.db)
        self._broker = Post(self._store.stage, self._store.trouble)
        self._boots = 0
        self._all_start()
        self._sweeper.run_once()  # leaves its mark in the broker

    # --- what a drill asks of whoever plays -----------------------------------------------------------------------
    def play(self, row: Row, input: dict[str, Any]) -> Played:  # noqa: A002
        """Submit the input, do to the job what the row says, and let it land. Raises: NotLanded."""
        chance = f"{self._seed}:{row.name}"
        self._scene = Scene(row, Random(chance), self._store.clock.now_s)
        self._broker.begin(row, self.saga.name)
        if row.trick == Trick.OUTAGE and not row.first:
            self._take_away(row.service)
        if row.trick == Trick.GONE and not row.strikes:
            self._leave_lane()
        with faults.injecting(self), _seeded(chance):
            submission = Submission(tenant_id=self._tenant, saga=self.saga.name, input=input, actor=ACTOR)
            submitted = submit(self.db, self.settings, self._registry, submission)
            scene = self._scene
            scene.job_id = submitted.job_id
            self._read_history()
            self._ring(submitted.plan)
            if row.trick == Trick.EARLY:
                self._send_early(submitted.job_id)
            self._live()
            self._bring_late()
        return Played(scene.job_id, scene.trace, self._met())

    def go_on(self) -> None:
        """Let the job land again, after a person has decided something. Nothing is struck any more."""
        self._scene.quiet = True
        with _seeded(f"{self._seed}:{self._scene.row.name}:again"):
            self._live()

    def ring(self, plan: Plan) -> None:
        """Publish what a person's decision has released."""
        self._ring(plan)

    def bring_back(self) -> None:
        """End the outage, if there is one; let a worker come for a lane that has none, and take what it finds. Raises: NotLanded."""
        if self._scene.away:
            self._scene.outage.close()
            self._scene.away = False
            self.say("* the service is back")
        if self._broker.nobody_at:
            self._come()
            self.go_on()

    def _come(self) -> None:
        self._broker.come()
        self.say(f"* a worker comes for lane {self._scene.row.lane}")

    # --- life goes on ---------------------------------------------------------------------------------------------
    def _live(self) -> None:
        scene = self._scene
        for turn in range(MOST_TURNS):
            if turn == OUTAGE_TURNS and scene.away:
                self.bring_back()
            if self._broker.waiting:
                index = scene.rng.randrange(len(self._broker.waiting))
                self._deliver(self._broker.waiting.pop(index))
                if scene.rng.random() < SWEEPS_BESIDE:
                    self._sweep()
            elif self._at_rest():
                return
            elif self._broker.nobody_at and self._told_that_nobody_comes():
                self._come()
            elif not self._broker.let_go():
                self._store.clock.advance(self._next_due_s())
                self._sweep()
        raise NotLanded(self._state(), scene.trace)

    def _next_due_s(self) -> float:
        """How long until the first thing that is due: a lease, a back-off, a message that was not sent or not taken, a worker's coming."""
        o, now = operations.c, START + timedelta(seconds=self._store.clock.now_s)
        with reading(self.db) as connection:
            query = select(o.state, o.lease_until, o.due_at, o.ready_at, o.sent_at, o.resent, o.queue_by)
            rows = connection.execute(query.where(o.job_id == self._scene.job_id, o.state.in_(LIVE), o.missing == 0)).all()
        dates = []
        for row in rows:
            if row.state == OpState.RUNNING:
                dates.append(row.lease_until)
            elif row.state == OpState.WAITING:
                dates.append(row.due_at)
            elif row.sent_at is None:
                dates.append(row.ready_at + timedelta(seconds=self.settings.unsent_seconds))
            else:  # rung again, sooner where its queue is empty; or given up
                bounds = [s * 2**row.resent for s in (self.settings.lease_seconds, self.settings.lost_seconds)]
                rung = [row.sent_at + timedelta(seconds=s) for s in bounds]
                dates += [date for date in (*rung, row.queue_by) if date is not None and date > now]
        due_s = min(((date - now).total_seconds() for date in dates), default=self.settings.lease_seconds)
        return max(due_s, 0.0) + (BEAT_S if due_s > 0 else 1.0)

    def _told_that_nobody_comes(self) -> bool:
        """Whether something of the job waits for a worker past its time, and waits on: whoever looks after us is told."""
        o = operations.c
        alarmed = select(o.id).where(o.job_id == self._scene.job_id, o.state == OpState.QUEUED, o.missing == 0, o.queue_by.is_(None))
        with reading(self.db) as connection:
            return connection.execute(alarmed.limit(1)).first() is not None

    def _at_rest(self) -> bool:
        state = self._state()
        if state in ENDED:
            return not self._broker.held
        if state != JobState.ATTENTION:
            return False
        o = operations.c
        with reading(self.db) as connection:
            moving = select(o.id).where(o.job_id == self._scene.job_id, o.state.in_(LIVE), o.missing == 0)
            return connection.execute(moving.limit(1)).first() is None

    def _state(self) -> str:
        with reading(self.db) as connection:
            return str(connection.execute(select(jobs.c.state).where(jobs.c.id == self._scene.job_id)).scalar_one())

    def _sweep(self) -> None:
        self._sweeper.run_once()
        self._read_history()

    # --- a worker ----------------------------------------------------------------------------------------------------
    def _deliver(self, parcel: Parcel) -> None:
        scene = self._scene
        worker = scene.rng.randrange(WORKERS)
        boot, pid = f"boot-{self._boots}-{worker}", 100 + worker
        try:
            self._work(parcel, boot, pid)
        except Crashed:
            self._died(parcel, boot, pid)
        except StoreUnavailable:
            self._broker.send_back(parcel)
        self._read_history()

    def _work(self, first: Parcel, boot: str, pid: int) -> None:
        parcel, passed = first, [first]
        runs_on = self._scene.row.trick is None  # what is done to a message asks that there be one
        delivery = parcel.delivery(boot, pid, runs_on=runs_on, carries=True)
        performed = perform(self.db, self.settings, self._registry, self._broker, delivery, limit=no_limit)
        while performed.following is not None:
            self._read_history()
            following = parcel.next
            assert following is not None  # the engine claims only what rides on this parcel
            parcel = following
            passed.append(parcel)
            delivery = parcel.delivery(boot, pid, runs_on=runs_on, carries=True, message=first.message.operation_id)
            performed = run_on(self.db, self.settings, self._registry, self._broker, delivery, performed.following, limit=no_limit)
        self._tell(parcel, performed)
        self._broker.go_on(parcel, performed)
        for done in passed:
            name = parse_task_name(done.message.task)
            if name is not None:
                faults.reached(Point.BEFORE_ACK, *name)

    def _died(self, parcel: Parcel, boot: str, pid: int) -> None:
        """A child that dies is seen by its worker at once; a whole worker is missed when its lease has run out."""
        if self._scene.rng.random() < 0.5:
            keep.lost(
                self.db, self.settings, self._broker, boot=boot, pid=pid, delivery=parcel.message.operation_id, why="its process was lost"
            )
            self._broker.send_back(parcel)
            self.say("  its worker puts the message back")
        else:
            self.say("  its message is gone with it")

    def _tell(self, parcel: Parcel, performed: Performed) -> None:
        if performed.verdict in ("dropped", "repeated"):
            self.say(f"  message of {parcel.name} {performed.verdict}{': ' + performed.error if performed.error else ''}")

    def _all_start(self) -> None:
        """Web, relay and workers of a moment ago are gone; what they had in memory too."""
        self._boots += 1
        self._sweeper = Sweeper(self.db, self.settings, self._broker, self._broker, strict=True)

    # --- what is done to it ------------------------------------------------------------------------------------------
    def fire(self, target: str, point: Point) -> None:
        """A process stands at a point (`app.faults`)."""
        scene = self._scene
        if scene.quiet:
            return
        if scene.row.trick == Trick.OUTAGE and scene.row.first and target.endswith(".undo") and not scene.was_away:
            self._take_away(scene.row.service)
        for strike in scene.row.strikes:
            if (strike.target, strike.point) == (target, point) and scene.fired[strike] < strike.times:
                scene.fired[strike] += 1
                self.say(f"* {strike.what} {target.partition('.')[2]} @ {point}")
                if scene.row.trick == Trick.GONE and self._all_fired():
                    self._leave_lane()
                self._strike(strike)

    def _strike(self, strike: Strike) -> None:
        match strike.what:
            case What.CRASH:
                raise Crashed
            case What.ERROR:
                raise Injected("an error of the drill")
            case What.REJECT:
                raise InjectedRefusal("refused by the drill")
            case What.HANG:
                self._store.clock.advance(self._limit_s(strike.target))
                raise Crashed  # its worker kills it at its hard limit
            case What.DELAY:
                self._store.clock.advance(DELAY_S)
            case Trick.FREEZE:
                self._live()
                self.say("* the frozen worker goes on")
            case Trick.KILL_ALL:
                self._all_start()
                raise Crashed
            case Trick.CANCEL:
                self._cancel()
            case Trick.FLUSH:
                self._broker.flush()

    def _limit_s(self, target: str) -> float:
        name = parse_task_name(target)
        if name is None:
            return 0.0
        return self.graph.by_name[name.step].limits_of(name.kind).timeout_s + self.settings.hard_limit_grace_seconds

    def _cancel(self) -> None:
        try:
            decision = decide.cancel(self.db, self.settings, self._scene.job_id, ACTOR)
        except Conflict as refused:
            self.say(f"  cancel refused: {refused.message}")
            return
        self._ring(decision.plan)

    def _take_away(self, service: str) -> None:
        away = self._outage(service) if self._outage is not None else None
        if away is not None:
            self._scene.outage.enter_context(away)
            self._scene.away = self._scene.was_away = True
            self.say(f"* {service} is away")

    def _leave_lane(self) -> None:
        self._broker.leave(self._scene.row.lane)
        self.say(f"* nobody works on lane {self._scene.row.lane} any more")

    def _send_early(self, job_id: str) -> None:
        row = self._scene.row
        self._broker.waiting.append(Parcel(message_of(self.saga.name, job_id, self.graph, row.step, row.kind)))
        self.say(f"* a message of {row.operation} comes first")

    def _bring_late(self) -> None:
        for parcel in self._broker.kept:
            self.say(f"* message of {parcel.name} comes again")
            self._deliver(parcel)
        self._broker.kept.clear()

    def _met(self) -> bool:
        row, scene = self._scene.row, self._scene
        if row.trick == Trick.OUTAGE:
            return scene.was_away
        if row.trick == Trick.GONE or row.strike is None:
            return self._all_fired() and (row.trick is None or self._broker.tricked)
        return all(scene.fired[strike] == strike.times for strike in (row.strike, *row.then))

    def _all_fired(self) -> bool:
        return all(self._scene.fired[strike] == strike.times for strike in self._scene.row.strikes)

    # --- the trace -------------------------------------------------------------------------------------------------
    def _ring(self, plan: Plan) -> None:
        ring(self.db, self._broker, plan)

    def say(self, text: str) -> None:
        """One line into the trace."""
        self._scene.trace.append(f"{self._store.clock.now_s - self._scene.began_s:8.1f} s  {text}")

    def _read_history(self) -> None:
        h, scene = history.c, self._scene
        if not scene.job_id:
            return
        with reading(self.db) as connection:
            rows = connection.execute(select(history).where(h.job_id == scene.job_id, h.seq > scene.seq).order_by(h.seq)).all()
        for row in rows:
            self.say(line_of(row))
            scene.seq = row.seq


@contextmanager
def no_limit(_seconds: float) -> Iterator[None]:
    """No alarm runs in a drill of one process: a step that hangs is one of its faults."""
    yield


@contextmanager
def _seeded(chance: str) -> Iterator[None]:
    """The jitter of back-offs comes from the seed too."""
    before = random.getstate()
    random.seed(chance)
    try:
        yield
    finally:
        random.setstate(before)


@dataclass
class Scene:
    """One row being played."""

    row: Row
    rng: Random
    began_s: float
    job_id: str = ""
    seq: int = 0
    quiet: bool = False
    away: bool = False
    was_away: bool = False
    trace: list[str] = field(default_factory=list)
    fired: Counter[Strike] = field(default_factory=Counter)
    outage: ExitStack = field(default_factory=ExitStack)
