"""A world in one process: the real engine between a simulated clock, broker, fleet of workers, relays and people.

    with World([saga]) as world:
        job = world.submit(saga.name, {"name": "x"})
        world.interfere(lambda actor, point: Crash() if point == "after_effect" and actor.about == "charge_card.action" else None)
        world.land()
        assert world.objections() == []

Each verb is one action of one process. With `points=n` the actor stops after n named points, or at the one of that name,
and waits in `stage.paused`, to be resumed, frozen or killed; with `dies=True` it crashes there. The steps of a saga may be
anything that runs in this process; how they are made to fail is the caller's: `interfere` is asked at every point, and
`fires` at those of `app.faults`, which are among them under their own names.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import SimpleNamespace, TracebackType
from typing import Any

from sqlalchemy import select

from app import faults
from app.config import Settings
from app.engine import attempt as attempt_module
from app.engine import decide, keep
from app.engine import perform as perform_module
from app.engine import running as running_module
from app.engine.dispatch import Announced, not_sent, ring
from app.engine.perform import perform, run_on
from app.engine.submit import Submission, submit
from app.engine.sweep import Sweeper
from app.engine.work import Performed, Verdict
from app.errors import RequestError, StoreUnavailable
from app.faults import Point
from app.rules.states import ENDED, JobState
from app.saga.definition import Saga
from app.saga.registry import Registry
from app.simulation import watch
from app.simulation.broker import Parcel, SimBroker
from app.simulation.clock import START
from app.simulation.stage import Actor, Crash, Interfere, Role
from app.simulation.store import HostTime, SimStore, raw_id, store_of_this_process
from app.store import ids as ids_module
from app.store import session as session_module
from app.store import undone as undone_module
from app.store.catalogue import register
from app.store.tables import dead_letters, history, jobs, tenants

TENANT = "00000000-0000-7000-8000-000000000001"
LAND_WITHIN_S = 4000.0  # some leases, the longest backoffs one after the other, the doubled bounds of lost messages
EXPECTED = (RequestError, StoreUnavailable)  # what an actor may end with; anything else is a mistake of the engine


@lru_cache
def _settings() -> Settings:
    """The defaults, whatever the environment says, or a seed would mean something else on each machine."""
    return Settings(
        env="test",
        faults="",
        lease_seconds=15,
        heartbeat_seconds=5,
        lost_seconds=60,
        unsent_seconds=1,
        sweep_seconds=0.5,
        reconcile_seconds=0,
    )


@dataclass(eq=False)
class Worker:
    """A worker with one child. `boot` and `pid` change when it, or its child, is started anew."""

    name: str
    boot: str
    pid: int = 1
    actor: Actor | None = None
    parcel: Parcel | None = None

    @property
    def idle(self) -> bool:
        return self.actor is None


@dataclass
class World:
    """`sagas` run in it. One at a time in a process: they share the store (`simulation.store`).

    `seed` feeds the engine's own randomness (backoff), so that a run is a function of what is asked of the world.
    """

    sagas: Sequence[Saga[Any]]
    seed: int = 0
    workers: int = 3
    relays: int = 2
    runs_on: bool = True
    settings: Settings = field(default_factory=_settings)
    store: SimStore = field(default_factory=store_of_this_process)
    fires: faults.Fires | None = None

    def __post_init__(self) -> None:
        self.stage, self.clock, self.trouble = self.store.stage, self.store.clock, self.store.trouble
        self.broker = SimBroker(self.stage, self.trouble)
        self.registry = Registry(self.sagas)
        self.fleet = [Worker(f"w{n}", f"w{n}.0") for n in range(self.workers)]
        self.sweepers = [Sweeper(self.db, self.settings, Announced(self.broker), self.broker) for _ in range(self.relays)]
        self.errors: list[str] = []
        self.log: list[str] = []
        self._ids = 0
        self._undo_seams: list[tuple[Any, str, Any]] = []
        self._seen_changes = -1
        self._broken: list[str] = []
        self._raw = self.store.raw
        self._injecting = contextlib.ExitStack()

    @property
    def db(self) -> Any:
        """What the engine takes for its database."""
        return self.store.doors

    # --- beginning and end -----------------------------------------------------------------------------------------
    def __enter__(self) -> World:
        self._seam(perform_module, "time", HostTime(self.store))
        self._seam(running_module, "time", HostTime(self.store))
        self._seam(session_module, "time", HostTime(self.store))
        self._seam(session_module, "_one_writer", contextlib.nullcontext())  # actors stop before a transaction, never in one
        self._seam(attempt_module, "random", random.Random(self.seed))
        self._seam(undone_module, "_kept", undone_module.Kept())  # what a process remembers of jobs: ids come again in the next world
        self._seam(ids_module, "uuid_utils", SimpleNamespace(uuid7=self._next_id))
        self._injecting.enter_context(faults.injecting(self))
        register(self.store.engine, self.sagas)
        with self.store.engine.begin() as tx:
            tx.execute(tenants.insert().values(id=TENANT, name="default"))
        self.sweepers[0].run_once()  # leaves our marker in the broker
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.stage.clear()
        self._injecting.close()
        while self._undo_seams:
            setattr(*self._undo_seams.pop())

    def fire(self, target: str, point: Point) -> None:
        """An actor stands at a point of `app.faults`."""
        self.stage.point(str(point))
        if self.fires is not None:
            self.fires.fire(target, point)

    def _seam(self, module: Any, name: str, stand_in: Any) -> None:
        self._undo_seams.append((module, name, getattr(module, name)))
        setattr(module, name, stand_in)

    def _next_id(self) -> str:
        """A UUIDv7 of the virtual time and a counter."""
        self._ids += 1
        ms = int((START.timestamp() + self.clock.now_s) * 1000)
        digits = f"{ms:012x}7000{0x8000000000000000 + self._ids:016x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    # --- asking for work -------------------------------------------------------------------------------------------
    def submit(
        self,
        saga: str,
        value: Any,
        *,
        key: str | None = None,
        deadline_s: float | None = None,
        points: int | str | None = None,
        dies: bool = False,
        told: Callable[[str], None] | None = None,
    ) -> Actor:
        """A client asks for a job and rings. The actor's result is the job's id; `told(job id)`: when it is answered."""
        asked = Submission(TENANT, saga, value, "client", key=key, deadline_s=deadline_s)

        def work() -> str:
            faults.reached(Point.BEFORE_EFFECT, "web", "submit")
            submitted = submit(self.db, self.settings, self.registry, asked)
            faults.reached(Point.AFTER_COMMIT, "web", "submit")
            ring(self.db, self.broker, submitted.plan)
            faults.reached(Point.AFTER_PUBLISH, "web", "submit")
            if told is not None:
                told(submitted.job_id)
            return submitted.job_id

        return self._act(Actor("web", Role.WEB, points, dies), work)

    def cancel(self, job_id: str, *, points: int | str | None = None, dies: bool = False) -> Actor:
        """A client cancels."""
        return self._act(
            Actor("cancel", Role.WEB, points, dies), self._deciding(lambda: decide.cancel(self.db, self.settings, job_id, "client"))
        )

    def resolve(self, letter_id: str, word: str, *, points: int | str | None = None, dies: bool = False) -> Actor:
        """A person decides about a dead letter: `retry`, `mark_done`, `waive` or `mark_absent`. By-hand work is the caller's."""

        def asked() -> decide.Decision:
            if word == "mark_absent":
                return decide.mark_absent(self.db, self.settings, letter_id, "person", "looked")
            verb = {"retry": decide.retry, "mark_done": decide.mark_done, "waive": decide.waive}[word]
            return verb(self.db, letter_id, "person", "looked")

        return self._act(Actor(word, Role.PERSON, points, dies), self._deciding(asked))

    def _deciding(self, asked: Callable[[], decide.Decision]) -> Callable[[], decide.Decision]:
        def work() -> decide.Decision:
            decision = asked()
            ring(self.db, self.broker, decision.plan)
            return decision

        return work

    # --- workers ---------------------------------------------------------------------------------------------------
    def deliver(
        self,
        parcel: Parcel | None = None,
        worker: Worker | None = None,
        *,
        says: str | None = None,
        points: int | str | None = None,
        dies: bool = False,
        redelivers: bool = True,
        registry: Registry | None = None,
    ) -> Actor | None:
        """A worker gets a message (the oldest) and does it. None: there is no message, or nobody is idle.

        `says`: how a simulated service answers; `redelivers`: whether the broker puts the message back if the worker dies;
        `registry`: what this worker has the code of, if that is not everything.
        """
        worker = worker or next((w for w in self.fleet if w.idle), None)
        parcel = parcel or (self.broker.waiting[0] if self.broker.waiting else None)
        if worker is None or not worker.idle or parcel is None:
            return None
        if parcel in self.broker.waiting:
            self.broker.waiting.remove(parcel)
        actor = Actor(worker.name, Role.WORKER, points, dies, about=parcel.name, says=says)
        worker.actor, worker.parcel = actor, parcel
        taken, boot, pid = parcel, worker.boot, worker.pid

        def ended(actor: Actor) -> None:
            worker.actor = worker.parcel = None
            if actor.crashed:
                self._restart(worker)
            if (actor.crashed and redelivers) or isinstance(actor.error, StoreUnavailable):
                self.broker.waiting.append(taken)

        return self._act(actor, lambda: self._serve(actor, taken, boot, pid, registry or self.registry), ended)

    def _serve(self, actor: Actor, parcel: Parcel, boot: str, pid: int, registry: Registry) -> Verdict:
        """What `workers.tasks` does with a message."""
        carries = not self.broker.down
        delivery = parcel.delivery(boot, pid, runs_on=self.runs_on, carries=carries)
        performed = perform(self.db, self.settings, registry, self.broker, delivery, limit=_no_limit)
        self._check_fence(actor, delivery.operation_id, performed)
        while performed.following is not None:
            following = parcel.next
            if following is None:
                raise AssertionError("run on to something that does not ride")
            parcel, first = following, delivery.message or delivery.operation_id
            actor.about, actor.fence = parcel.name, None
            delivery = parcel.delivery(boot, pid, runs_on=self.runs_on, carries=carries, message=first)
            performed = run_on(self.db, self.settings, registry, self.broker, delivery, performed.following, limit=_no_limit)
            self._check_fence(actor, delivery.operation_id, performed)
        actor.fence = None
        if carries and not self.broker.go_on(parcel, performed):
            not_sent(self.db, delivery.carried)
        faults.reached(Point.BEFORE_ACK, *parcel.names)
        return performed.verdict

    def _check_fence(self, actor: Actor, operation_id: str, performed: Performed) -> None:
        """A completion that was taken for ours is on record under our fence."""
        if performed.verdict != Verdict.COMPLETED or actor.fence is None:
            return
        step, fence = self._raw.execute("SELECT step, fence FROM operations WHERE id = ?", (raw_id(operation_id),)).fetchone()
        if fence != actor.fence:
            self.errors.append(f"{step}: a completion under fence {actor.fence} was taken, but the claim is {fence}")

    def _restart(self, worker: Worker) -> None:
        generation = int(worker.boot.rpartition(".")[2]) + 1
        worker.boot, worker.pid = f"{worker.name}.{generation}", 1

    def beat(self, worker: Worker) -> None:
        """Its main process renews what its child is at; a child past its hard limit is killed."""
        if worker.actor is None or worker.parcel is None or worker.actor.frozen:
            return
        beat = self._act(
            Actor(worker.name, Role.KEEPER),
            lambda: keep.beat(self.db, self.settings, worker.boot, [worker.parcel.message.operation_id] if worker.parcel else []),
        )
        if isinstance(beat.result, keep.Beat) and beat.result.overdue:
            self.kill_child(worker)

    def kill_child(self, worker: Worker) -> None:
        """The child is killed, its main process lives: it ends the claim, and Celery puts the message back."""
        if worker.actor is None or worker.parcel is None:
            return
        actor, parcel, pid = worker.actor, worker.parcel, worker.pid
        actor.ended = None
        self.stage.resume(actor, 0, dies=True)
        worker.actor = worker.parcel = None
        worker.pid += 1
        delivery = parcel.message.operation_id
        self._act(
            Actor(worker.name, Role.KEEPER),
            lambda: keep.lost(
                self.db, self.settings, self.broker, boot=worker.boot, pid=pid, delivery=delivery, why="the child was killed"
            ),
        )
        self.broker.waiting.append(parcel)

    def shut_down(self, worker: Worker) -> None:
        """SIGTERM and its grace is over: what still runs is handed back, the message too, and the worker starts anew."""
        if worker.actor is None or worker.parcel is None:
            return
        parcel = worker.parcel
        self._act(Actor(worker.name, Role.KEEPER), lambda: keep.hand_back(self.db, self.broker, worker.boot))
        actor, actor.ended = worker.actor, None
        self.stage.resume(actor, 0, dies=True)
        worker.actor = worker.parcel = None
        self._restart(worker)
        self.broker.waiting.append(parcel)

    # --- relays and time -------------------------------------------------------------------------------------------
    def sweep(self, relay: int = 0, *, points: int | str | None = None, dies: bool = False) -> Actor:
        """One round of a relay."""
        return self._act(Actor(f"relay{relay}", Role.RELAY, points, dies), self.sweepers[relay].run_once)

    def tick(self, seconds: float, *, beats: bool = True) -> None:
        """Time passes; workers that are not frozen keep their leases."""
        self.clock.advance(seconds)
        if beats:
            for worker in self.fleet:
                self.beat(worker)

    def resume(self, actor: Actor, points: int | str | None = None, *, dies: bool = False) -> None:
        """A paused actor goes on."""
        self.stage.resume(actor, points, dies=dies)

    def crash(self, actor: Actor) -> None:
        """A paused actor dies where it stands."""
        self.stage.resume(actor, 0, dies=True)

    def interfere(self, how: Interfere | None) -> None:
        """Ask `how(actor, point)` at every point; what it returns is raised there. None: nobody interferes."""
        self.stage.interfere = how

    # --- healing ---------------------------------------------------------------------------------------------------
    def heal(self, *, thaw: bool = True) -> None:
        """Nothing fails any more: store and broker are there, and who is paused or frozen goes on to its end.

        Without `thaw` those stay as they are, without heartbeats, and fresh workers take their places.
        """
        self.interfere(None)
        self.trouble.mend()
        self.broker.down, self.broker.lose_next = False, 0
        if not thaw:
            busy = [worker for worker in self.fleet if worker.actor is not None]
            for worker in busy:
                if worker.actor is not None:
                    worker.actor.frozen = True
                self.fleet.append(Worker(f"w{len(self.fleet)}", f"w{len(self.fleet)}.0"))
            return
        while self.stage.paused:
            actor = self.stage.paused[0]
            actor.frozen, actor.says = False, None
            self.resume(actor)

    def land(self, *, bound_s: float = LAND_WITHIN_S) -> bool:
        """Deliver and sweep, letting time pass, until every job has ended or asks a person. False: the bound was passed."""
        until, step_s = self.clock.now_s + bound_s, 2.0
        while True:
            self.drain()
            if not self.moving():
                return True
            if self.clock.now_s > until:
                return False
            self.tick(step_s)
            self.sweep()
            step_s = min(60.0, step_s * 1.6)

    def drain(self, limit: int = 2000) -> None:
        """Deliver until the broker is empty. Raises: AssertionError for messages without end."""
        for _ in range(limit):
            if self.deliver() is None:
                return
        raise AssertionError("messages without end")

    # --- looking ---------------------------------------------------------------------------------------------------
    def one(self, query: Any) -> Any:
        with self.store.engine.connect() as connection:
            return connection.execute(query).one_or_none()

    def all(self, query: Any) -> list[Any]:
        with self.store.engine.connect() as connection:
            return list(connection.execute(query))

    def jobs(self) -> list[Any]:
        """Every job's row, oldest first."""
        return self.all(select(jobs).order_by(jobs.c.id))

    def job_ids(self) -> list[str]:
        """Every job's id, oldest first."""
        return [row.id for row in self.all(select(jobs.c.id).order_by(jobs.c.id))]

    def moving(self) -> list[str]:
        """The jobs that have not ended and wait for no person."""
        return [row.id for row in self.all(select(jobs.c.id).where(jobs.c.state.not_in((*ENDED, JobState.ATTENTION))))]

    def gave_up_waiting(self) -> bool:
        """Whether an operation failed because no worker came for it."""
        failed = self.all(select(history.c.detail).where(history.c.event == "failed"))
        return any((row.detail or {}).get("why") == "queue_timeout" for row in failed)

    def letters(self) -> list[Any]:
        """The open dead letters that hold a job, oldest first."""
        d = dead_letters.c
        return self.all(select(dead_letters).where(d.state == "open", d.blocking).order_by(d.id))

    def history(self, job_id: str) -> list[Any]:
        """A job's history, oldest first."""
        return self.all(select(history).where(history.c.job_id == job_id).order_by(history.c.seq))

    def objections(self, *, slack_s: float | None = None, bound_s: float | None = None) -> list[str]:
        """What does not hold just now. Without times nobody promises a bound, only that there is a date at all."""
        if self._raw.total_changes != self._seen_changes or slack_s is not None:
            self._broken = watch.broken(
                self._raw,
                slack_ago=self.clock.text(-(slack_s if slack_s is not None else watch.ANY_TIME_S)),
                bound_ago=self.clock.text(-(bound_s if bound_s is not None else watch.ANY_TIME_S)),
            )
            self._seen_changes = self._raw.total_changes
        return [*self._broken, *self.errors, *self.broker.objections]

    # --- how -------------------------------------------------------------------------------------------------------
    def _act(self, actor: Actor, work: Callable[[], Any], ended: Callable[[Actor], None] | None = None) -> Actor:
        def note(actor: Actor) -> None:
            if actor.error is not None and not isinstance(actor.error, EXPECTED):
                self.errors.append(f"{actor.name} ended with {type(actor.error).__name__}: {actor.error} (at {actor.at})")
            if ended is not None:
                ended(actor)

        actor.ended = note
        may_wait = self.trouble.down or self.trouble.answer_lost_next > 0
        return self.stage.start(actor, work, may_wait=may_wait)


@contextlib.contextmanager
def _no_limit(_seconds: float) -> Iterator[None]:
    yield


__all__ = ["Crash", "Worker", "World"]
