"""A drill in one process: the real engine on real SQL, with broker, clock and workers that do what
the row says.

A worker is a call of `execute_operation`; its death is an exception that no code of a step can
catch; the hour between two attempts is a number that is raised. What is left to chance (which
message is next, whether a dead worker's message comes back at once or only by the sweep) is drawn
from the seed and the row's name, so a row comes out the same alone as among all others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import copy_context
from datetime import timedelta
from random import Random
from typing import Any

from sqlalchemy import Engine

from surefoot.app import faults
from surefoot.app.access import tenants
from surefoot.app.config import Settings
from surefoot.app.drill.faulty_broker import FaultyBroker
from surefoot.app.drill.inside import Lines, in_transaction
from surefoot.app.drill.memory import Memory
from surefoot.app.drill.row import DELAY_S, EACH_LINE, Disturbance, FaultInjection, Row
from surefoot.app.drill.run_result import NotLanded, RunResult, line_of
from surefoot.app.drill.scene import Scene, seeded
from surefoot.app.drill.told_loop import ToldLoop
from surefoot.app.engine.jobs.dispatch import publish_plan
from surefoot.app.engine.jobs.submit import Submission, submit
from surefoot.app.engine.jobs.transaction import message_of
from surefoot.app.engine.operators import decisions
from surefoot.app.engine.relay.relay import Sweeper
from surefoot.app.engine.runtime import Runtime
from surefoot.app.engine.worker import leases
from surefoot.app.errors import Conflict, StoreUnavailable
from surefoot.app.faults import Crashed, Injected, InjectedFailure, InjectedRefusal, Point, What
from surefoot.app.rules.planner import Plan
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.naming import parse_task_name
from surefoot.app.saga.registry import Registry
from surefoot.app.simulation.store import store_of_this_process
from surefoot.app.store import job_reads
from surefoot.app.store.catalogue import register
from surefoot.app.store.claims import Holder
from surefoot.app.store.session import reading
from surefoot.app.testkit.broker import FakeContinuation
from surefoot.app.testkit.clock import START
from surefoot.app.testkit.delivery import Child, FakeDelivery
from surefoot.app.testkit.underway import at_rest, next_due_s, state_of, told_that_nobody_comes

ACTOR = "drill"
MOST_TURNS = 2000  # messages and sweeps of one row
OUTAGE_TURNS = 400  # after so many a job only waits for the service, which then comes back
SWEEPS_BESIDE = 0.03  # how often the relay sweeps while there are messages
WORKERS = 2  # and one more for each that stands still
Outage = Callable[[str], AbstractContextManager[Any] | None]


class InProcess:
    """Plays rows one after the other on one store. `own`: what the saga's test environment yielded.

    There is one at a time in a process: a new one empties the store of the last.
    """

    def __init__(self, saga: Saga[Any], *, seed: int, own: Any = None) -> None:
        self.saga, self.graph, self._seed = saga, saga.graph, seed
        self._outage: Outage | None = getattr(own, "outage", None)
        self._services_settle: Callable[[], None] = getattr(own, "settle", lambda: None)
        self._store = store_of_this_process()  # in memory: made once, emptied for each drill
        self.db: Engine = self._store.engine
        self.settings = Settings(
            env="drill", faults="", sagas="", lease_seconds=15, heartbeat_seconds=5, lost_seconds=60
        )
        self._registry = Registry([saga])
        register(self.db, [saga])
        self._tenant = tenants.ensure(self.db)
        self._broker = FaultyBroker(self._store.stage.point, lambda: self._store.host.open)
        self._boots = 0
        self._memory = Memory(saga)
        self._all_start()
        self._sweeper.run_once()  # leaves its mark in the broker

    # --- what a drill asks of its player ----------------------------------------------------------
    def play(self, row: Row, input: dict[str, Any]) -> RunResult:  # noqa: A002
        """Submit the input, do to the job what the row says, and let it land. Raises: NotLanded."""
        chance = f"{self._seed}:{row.name}"
        self._scene = Scene(row, Random(chance), self._store.clock.now_s)
        self._broker.begin(row, self.saga.name)
        if row.trick == Disturbance.OUTAGE and not row.first:
            self._take_away(row.service)
        if row.trick == Disturbance.GONE and not row.strikes:
            self._leave_lane()
        self._input = input
        with faults.injecting(self), seeded(chance):
            self._submit()
            if row.trick == Disturbance.TWO:
                self._submit()
            if row.trick == Disturbance.EARLY:
                self._send_early(self._scene.job_id)
            self._live(self._scene.job_ids)
            self._bring_late()
        scene = self._scene
        job_id, *beside = scene.job_ids
        return RunResult(
            job_id,
            scene.trace,
            scene.met(tricked=self._broker.tricked),
            tuple(beside),
            tuple(scene.places),
            scene.kept_in,
            tuple(self._memory.changed()),
        )

    def _submit(self) -> str:
        submission = Submission(
            tenant_id=self._tenant, saga=self.saga.name, input=self._input, actor=ACTOR
        )
        submitted = submit(self.db, self.settings, self._registry, submission)
        self._scene.job_ids.append(submitted.job_id)
        self._read_history()
        self._ring(submitted.plan)
        return submitted.job_id

    def go_on(self) -> None:
        """Let the job land again, after a person has decided something. Nothing is struck any more."""
        self._scene.quiet = True
        with seeded(f"{self._seed}:{self._scene.row.name}:again"):
            self._live(self._scene.job_ids)

    def publish_plan(self, plan: Plan) -> None:
        """Publish what a person's decision has released."""
        self._ring(plan)

    def bring_back(self) -> None:
        """End the outage; let a worker come for a lane that has none. Raises: NotLanded."""
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

    # --- life goes on -----------------------------------------------------------------------------
    def _live(self, job_ids: Sequence[str]) -> None:
        """Deliver, sweep and let time pass until these jobs are at rest. Raises: NotLanded."""
        scene = self._scene
        for turn in range(MOST_TURNS):
            if turn == OUTAGE_TURNS and scene.away:
                self.bring_back()
            if self._broker.waiting:
                index = scene.rng.randrange(len(self._broker.waiting))
                self._deliver(self._broker.waiting.pop(index))
                if scene.rng.random() < SWEEPS_BESIDE:
                    self._sweep()
            elif self._at_rest(job_ids):
                return
            elif self._broker.nobody_at and told_that_nobody_comes(self.db, scene.job_id):
                self._come()
            elif not self._broker.let_go():
                self._services_settle()
                moment = START + timedelta(seconds=self._store.clock.now_s)
                self._store.clock.advance(next_due_s(self.db, self.settings, scene.job_ids, moment))
                self._sweep()
            if scene.waits_for_nothing():
                break
        step, why = scene.waited_for()
        raise NotLanded(state_of(self.db, scene.job_id), scene.trace, step, why)

    def _at_rest(self, job_ids: Sequence[str]) -> bool:
        return all(at_rest(self.db, job_id) for job_id in job_ids) and not self._broker.held

    def _sweep(self) -> None:
        self._sweeper.run_once()
        self._read_history()

    # --- a worker ---------------------------------------------------------------------------------
    def _deliver(self, delivery: FakeDelivery) -> None:
        scene = self._scene
        worker = scene.rng.randrange(WORKERS)
        while worker in scene.stopped:
            worker += WORKERS
        worker_id, pid = f"boot-{self._boots}-{worker}", 100 + worker
        scene.at_work.append(worker)
        try:
            with self._memory.of(worker):
                # What a dead worker had in its context dies with it.
                copy_context().run(self._work, delivery, worker_id, pid)
        except Crashed:
            self._memory.forget(worker)
            self._died(delivery, worker_id, pid)
        except StoreUnavailable:
            self._broker.send_back(delivery)
        finally:
            scene.at_work.pop()
        self._read_history()

    def _work(self, taken: FakeDelivery, worker_id: str, pid: int) -> None:
        runs_on = self._scene.row.trick is None  # what is done to a message asks that there be one
        runtime = Runtime(self.db, self.settings, self._registry, self._broker)
        child = Child(worker_id, pid, runs_on)
        ToldLoop(runtime, self.say, self._read_history).serve(
            FakeContinuation(self._broker, taken, child)
        )

    def _died(self, delivery: FakeDelivery, worker_id: str, pid: int) -> None:
        """The worker of a dead child sees that at once; a dead worker is missed by its lease."""
        if self._scene.rng.random() < 0.5:
            leases.report_child_lost(
                self.db,
                self.settings,
                self._broker,
                Holder(worker_id=worker_id, pid=pid, message=delivery.message.operation_id),
                "its process was lost",
            )
            self._broker.send_back(delivery)
            self.say("  its worker puts the message back")
        else:
            self.say("  its message is gone with it")

    def _all_start(self) -> None:
        """Web, relay and workers of a moment ago are gone; what they had in memory too."""
        self._boots += 1
        self._memory.forget()
        self._sweeper = Sweeper(self.db, self.settings, self._broker, self._broker, strict=True)

    # --- what is done to it -----------------------------------------------------------------------
    def fire(self, target: str, point: Point) -> None:
        """A process stands at a point (`surefoot.app.faults`)."""
        scene = self._scene
        if scene.quiet:
            return
        if (
            scene.row.trick == Disturbance.OUTAGE
            and scene.row.first
            and target.endswith(".undo")
            and not scene.was_away
        ):
            self._take_away(scene.row.service)
        for strike in scene.row.strikes:
            if (
                (strike.target, strike.point) == (target, point)
                and scene.fired[strike] < strike.times
                and self._may_fire(strike)
            ):
                scene.fired[strike] += 1
                self.say(f"* {strike.what} {target.partition('.')[2]} @ {point}")
                if scene.row.trick == Disturbance.GONE and scene.all_fired(*scene.row.strikes):
                    self._leave_lane()
                self._strike(strike)

    def _may_fire(self, strike: FaultInjection) -> bool:
        row = self._scene.row
        if not row.inside:
            return True
        struck = row.strike is not None and self._scene.fired[row.strike] > 0
        return strike in row.first or (strike in row.then and struck)

    def inside(self, target: str) -> AbstractContextManager[None]:
        """A process calls a developer's function (`surefoot.app.faults`)."""
        row, scene = self._scene.row, self._scene
        if (
            scene.quiet
            or row.strike is None
            or not row.inside
            or row.strike.target != target
            or scene.fired[row.strike]
        ):
            return nullcontext()
        return self._between_lines(row.strike, "" if row.line == EACH_LINE else row.line)

    @contextmanager
    def _between_lines(self, strike: FaultInjection, at: str) -> Iterator[None]:
        lines = Lines(at, lambda place: self._stop_at(strike, place))
        try:
            with lines:
                yield
        finally:
            self._scene.places |= lines.places
            if (
                strike.what == What.CRASH and self._scene.fired[strike]
            ):  # whatever the function made of its own death
                raise Crashed

    def _stop_at(self, strike: FaultInjection, place: str) -> None:
        scene = self._scene
        scene.fired[strike] += 1
        scene.kept_in = strike.what != What.CRASH and in_transaction()
        if not scene.kept_in:
            self.say(f"* {strike.what} {strike.target.partition('.')[2]} @ {place}")
            self._strike(strike)

    @contextmanager
    def _standing_still(self) -> Iterator[None]:
        """The worker that is at work just now does nothing meanwhile."""
        self._scene.stopped.append(self._scene.at_work[-1])
        try:
            yield
        finally:
            self._scene.stopped.pop()
            self.say("* the frozen worker goes on")

    def _strike(self, strike: FaultInjection) -> None:
        match strike.what:
            case What.CRASH:
                raise Crashed
            case What.ERROR:
                raise Injected("an error of the drill")
            case What.REJECT:
                raise InjectedRefusal("refused by the drill")
            case What.FAIL:
                raise InjectedFailure("failed for good, by the drill")
            case What.HANG:
                self._store.clock.advance(self._limit_s(strike.target))
                raise Crashed  # its worker kills it at its hard limit
            case What.DELAY:
                self._store.clock.advance(DELAY_S)
            case Disturbance.FREEZE:
                with self._standing_still():
                    self._live(self._scene.job_ids)
            case Disturbance.OTHER:
                with self._standing_still():
                    self._live([self._submit()])
            case Disturbance.KILL_ALL:
                self._all_start()
                raise Crashed
            case Disturbance.CANCEL:
                self._cancel()
            case Disturbance.FLUSH:
                self._broker.flush()

    def _limit_s(self, target: str) -> float:
        name = parse_task_name(target)
        if name is None:
            return 0.0
        return (
            self.graph.by_name[name.step].limits_of(name.kind).timeout_s
            + self.settings.hard_limit_grace_seconds
        )

    def _cancel(self) -> None:
        try:
            decision = decisions.cancel(self.db, self.settings, self._scene.job_id, ACTOR)
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
        self._broker.waiting.append(
            FakeDelivery(message_of(job_id, self.graph, row.step, row.kind))
        )
        self.say(f"* a message of {row.operation} comes first")

    def _bring_late(self) -> None:
        for delivery in self._broker.kept:
            self.say(f"* message of {delivery.name} comes again")
            self._deliver(delivery)
        self._broker.kept.clear()

    # --- the trace --------------------------------------------------------------------------------
    def _ring(self, plan: Plan) -> None:
        publish_plan(self.db, self._broker, plan)

    def say(self, text: str) -> None:
        """One line into the trace."""
        self._scene.trace.append(f"{self._store.clock.now_s - self._scene.began_s:8.1f} s  {text}")

    def _read_history(self) -> None:
        scene = self._scene
        for job_id in scene.job_ids:
            with reading(self.db) as connection:
                rows = job_reads.history_after(connection, job_id, scene.seq[job_id])
            for row in rows:
                scene.heard(row, self._store.clock.now_s)
                self.say(
                    line_of(row) if job_id == scene.job_id else f"{line_of(row)} (the other job)"
                )
                scene.seq[job_id] = row.seq
