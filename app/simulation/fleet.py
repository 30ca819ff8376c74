"""The workers: each with one child that serves one message at a time, and a main process that keeps its lease."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from surefoot.app import faults
from surefoot.app.engine.jobs.dispatch import not_sent
from surefoot.app.engine.worker import leases
from surefoot.app.engine.worker.delivery import Performed, Verdict
from surefoot.app.engine.worker.execute import perform, run_on
from surefoot.app.engine.worker.parcel import Parcel
from surefoot.app.errors import StoreUnavailable
from surefoot.app.faults import Point
from surefoot.app.saga.registry import Registry
from surefoot.app.simulation.environment import Scene
from surefoot.app.simulation.stage import Actor, Role


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

    def restart(self) -> None:
        """Its main process and its child are new ones."""
        generation = int(self.boot.rpartition(".")[2]) + 1
        self.boot, self.pid = f"{self.name}.{generation}", 1


class Fleet:
    """`workers`: all there are. `runs_on`: they go on with the next operation of their lane without a message."""

    def __init__(self, scene: Scene, size: int, *, runs_on: bool) -> None:
        self._scene, self._runs_on = scene, runs_on
        self.workers: list[Worker] = []
        for _ in range(size):
            self._add()

    def _add(self) -> None:
        name = f"w{len(self.workers)}"
        self.workers.append(Worker(name, f"{name}.0"))

    def replace_the_busy(self) -> None:
        """Who is at something freezes, and for each of them there is a fresh worker."""
        for actor in [worker.actor for worker in self.workers if worker.actor is not None]:
            actor.frozen = True
            self._add()

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
        waiting = self._scene.broker.waiting
        worker = worker or next((w for w in self.workers if w.idle), None)
        parcel = parcel or (waiting[0] if waiting else None)
        if worker is None or not worker.idle or parcel is None:
            return None
        if parcel in waiting:
            waiting.remove(parcel)
        actor = Actor(worker.name, Role.WORKER, points, dies, about=parcel.name, says=says)
        worker.actor, worker.parcel = actor, parcel
        taken, boot, pid = parcel, worker.boot, worker.pid

        def ended(actor: Actor) -> None:
            worker.actor = worker.parcel = None
            if actor.crashed:
                worker.restart()
            if (actor.crashed and redelivers) or isinstance(actor.error, StoreUnavailable):
                waiting.append(taken)

        return self._scene.act(
            actor,
            lambda: self._serve(actor, taken, boot, pid, registry or self._scene.registry),
            ended,
        )

    def _serve(
        self, actor: Actor, parcel: Parcel, boot: str, pid: int, registry: Registry
    ) -> Verdict:
        """What `surefoot.workers.tasks` does with a message."""
        db, settings, broker = self._scene.db, self._scene.settings, self._scene.broker
        carries = not broker.down
        delivery = parcel.delivery(boot, pid, runs_on=self._runs_on, carries=carries)
        performed = perform(db, settings, registry, broker, delivery, limit=_no_limit)
        self._check_fence(actor, delivery.operation_id, performed)
        while performed.following is not None:
            following = parcel.next
            if following is None:
                raise AssertionError("run on to something that does not ride")
            parcel, first = following, delivery.message or delivery.operation_id
            actor.about, actor.fence = parcel.name, None
            delivery = parcel.delivery(
                boot, pid, runs_on=self._runs_on, carries=carries, message=first
            )
            performed = run_on(
                db, settings, registry, broker, delivery, performed.following, limit=_no_limit
            )
            self._check_fence(actor, delivery.operation_id, performed)
        actor.fence = None
        if (carries or parcel.packed) and not broker.go_on(parcel, performed):
            not_sent(db, delivery.carried | parcel.packed)
        faults.reached(Point.BEFORE_ACK, *parcel.names)
        return performed.verdict

    def _check_fence(self, actor: Actor, operation_id: str, performed: Performed) -> None:
        """A completion that was taken for ours is on record under our fence."""
        if performed.verdict != Verdict.COMPLETED or actor.fence is None:
            return
        asked = "SELECT step, fence FROM operations WHERE id = ?"
        step, fence = self._scene.store.ask(asked, operation_id)[0]
        if fence != actor.fence:
            self._scene.errors.append(
                f"{step}: a completion under fence {actor.fence} was taken, but the claim is {fence}"
            )

    def beat(self, worker: Worker) -> None:
        """Its main process renews what its child is at; a child past its hard limit is killed."""
        if worker.actor is None or worker.parcel is None or worker.actor.frozen:
            return
        scene = self._scene
        beat = scene.act(
            Actor(worker.name, Role.KEEPER),
            lambda: leases.beat(
                scene.db,
                scene.settings,
                worker.boot,
                [worker.parcel.message.operation_id] if worker.parcel else [],
            ),
        )
        if isinstance(beat.result, leases.Beat) and beat.result.overdue:
            self.kill_child(worker)

    def kill_child(self, worker: Worker) -> None:
        """The child is killed, its main process lives: it ends the claim, and Celery puts the message back."""
        if worker.actor is None or worker.parcel is None:
            return
        scene, parcel, pid = self._scene, worker.parcel, worker.pid
        self._end_child(worker, worker.actor)
        worker.pid += 1
        why, delivery = "the child was killed", parcel.message.operation_id
        scene.act(
            Actor(worker.name, Role.KEEPER),
            lambda: leases.lost(
                scene.db,
                scene.settings,
                scene.broker,
                boot=worker.boot,
                pid=pid,
                delivery=delivery,
                why=why,
            ),
        )
        scene.broker.waiting.append(parcel)

    def shut_down(self, worker: Worker) -> None:
        """SIGTERM and its grace is over: what still runs is handed back, the message too, and the worker starts anew."""
        if worker.actor is None or worker.parcel is None:
            return
        scene, parcel = self._scene, worker.parcel
        scene.act(
            Actor(worker.name, Role.KEEPER),
            lambda: leases.hand_back(scene.db, scene.broker, worker.boot),
        )
        self._end_child(worker, worker.actor)
        worker.restart()
        scene.broker.waiting.append(parcel)

    def _end_child(self, worker: Worker, actor: Actor) -> None:
        actor.ended = None
        self._scene.store.stage.resume(actor, 0, dies=True)
        worker.actor = worker.parcel = None


@contextlib.contextmanager
def _no_limit(_seconds: float) -> Iterator[None]:
    yield
