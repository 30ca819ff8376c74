"""The workers: each with one child that serves one message at a time, and a main process that keeps
its lease.
"""

from __future__ import annotations

from dataclasses import dataclass

from surefoot.app.engine.jobs.attempt import Attempt
from surefoot.app.engine.runtime import Runtime
from surefoot.app.engine.worker import leases
from surefoot.app.engine.worker.delivery import (
    Delivery,
    DeliveryOutcome,
    ExecutionResult,
    Onward,
    OperationInput,
)
from surefoot.app.engine.worker.loop import Loop
from surefoot.app.errors import StoreUnavailable
from surefoot.app.saga.registry import Registry
from surefoot.app.simulation.environment import Environment
from surefoot.app.simulation.stage import Actor, Role
from surefoot.app.store.claims import Holder
from surefoot.app.testkit.broker import FakeBroker, FakeContinuation
from surefoot.app.testkit.delivery import Child, FakeDelivery


@dataclass(eq=False)
class Worker:
    """A worker with one child. `worker_id` and `pid` change when it, or its child, is started anew."""

    name: str
    worker_id: str
    pid: int = 1
    actor: Actor | None = None
    delivery: FakeDelivery | None = None

    @property
    def idle(self) -> bool:
        return self.actor is None

    def restart(self) -> None:
        """Its main process and its child are new ones."""
        generation = int(self.worker_id.rpartition(".")[2]) + 1
        self.worker_id, self.pid = f"{self.name}.{generation}", 1


class ActorsContinuation(FakeContinuation):
    """The message of an actor, who is known by the operation that it is at."""

    def __init__(self, broker: FakeBroker, taken: FakeDelivery, child: Child, actor: Actor) -> None:
        super().__init__(broker, taken, child)
        self._actor = actor

    def move_on(self, performed: ExecutionResult) -> Delivery:
        delivery = super().move_on(performed)
        self._actor.about, self._actor.fence = self.at.name, None
        return delivery

    def leave(self, onward: Onward) -> frozenset[str]:
        self._actor.fence = None
        return super().leave(onward)


class CheckedLoop(Loop):
    """A completion that was taken for ours is on record under our fence."""

    def __init__(self, runtime: Runtime, scene: Environment, actor: Actor) -> None:
        super().__init__(runtime)
        self._scene, self._actor = scene, actor

    def carry_out(self, delivery: Delivery) -> ExecutionResult:
        return self._checked(delivery, super().carry_out(delivery))

    def carry_on(
        self, delivery: Delivery, following: tuple[Attempt, OperationInput]
    ) -> ExecutionResult:
        return self._checked(delivery, super().carry_on(delivery, following))

    def _checked(self, delivery: Delivery, performed: ExecutionResult) -> ExecutionResult:
        ours = self._actor.fence
        if performed.verdict != DeliveryOutcome.COMPLETED or ours is None:
            return performed
        asked = "SELECT step, fence FROM surefoot_operations WHERE id = ?"
        step, fence = self._scene.store.ask(asked, delivery.operation_id)[0]
        if fence != ours:
            self._scene.errors.append(
                f"{step}: a completion under fence {ours} was taken, but the claim is {fence}"
            )
        return performed


class Fleet:
    """`workers`: all there are.

    `runs_on`: they go on with the next operation of their lane without a message.
    """

    def __init__(self, scene: Environment, size: int, *, runs_on: bool) -> None:
        self._scene, self._runs_on = scene, runs_on
        self.workers: list[Worker] = []
        for _ in range(size):
            self._add()

    def _add(self) -> None:
        name = f"w{len(self.workers)}"
        self.workers.append(Worker(name, f"{name}.0"))

    def replace_the_busy(self) -> None:
        """Each busy worker freezes, and a fresh one takes its place."""
        for actor in [worker.actor for worker in self.workers if worker.actor is not None]:
            actor.frozen = True
            self._add()

    def deliver(
        self,
        delivery: FakeDelivery | None = None,
        worker: Worker | None = None,
        *,
        says: str | None = None,
        points: int | str | None = None,
        dies: bool = False,
        redelivers: bool = True,
        registry: Registry | None = None,
    ) -> Actor | None:
        """A worker gets a message (the oldest) and does it.

        None: there is no message, or nobody is idle.

        `says`: how a simulated service answers; `redelivers`: whether the broker puts the message
        back if the worker dies;
        `registry`: what this worker has the code of, if that is not everything.
        """
        waiting = self._scene.broker.waiting
        worker = worker or next((w for w in self.workers if w.idle), None)
        delivery = delivery or (waiting[0] if waiting else None)
        if worker is None or not worker.idle or delivery is None:
            return None
        if delivery in waiting:
            waiting.remove(delivery)
        actor = Actor(worker.name, Role.WORKER, points, dies, about=delivery.name, says=says)
        worker.actor, worker.delivery = actor, delivery
        taken = delivery

        def ended(actor: Actor) -> None:
            worker.actor = worker.delivery = None
            if actor.crashed:
                worker.restart()
            if (actor.crashed and redelivers) or isinstance(actor.error, StoreUnavailable):
                waiting.append(taken)

        return self._scene.act(
            actor,
            lambda: self._serve(worker, taken, registry or self._scene.registry),
            ended,
        )

    def _serve(self, worker: Worker, taken: FakeDelivery, registry: Registry) -> DeliveryOutcome:
        scene, actor = self._scene, worker.actor
        assert actor is not None
        child = Child(worker.worker_id, worker.pid, self._runs_on, carries=not scene.broker.down)
        continuation = ActorsContinuation(scene.broker, taken, child, actor)
        runtime = Runtime(scene.db, scene.settings, registry, scene.broker)
        return CheckedLoop(runtime, scene, actor).serve(continuation).verdict

    def beat(self, worker: Worker) -> None:
        """Its main process renews what its child is at; a child past its hard limit is killed."""
        if worker.actor is None or worker.delivery is None or worker.actor.frozen:
            return
        scene = self._scene
        beat = scene.act(
            Actor(worker.name, Role.KEEPER),
            lambda: leases.renew_leases(
                scene.db,
                scene.settings,
                worker.worker_id,
                [worker.delivery.message.operation_id] if worker.delivery else [],
            ),
        )
        if isinstance(beat.result, leases.HeartbeatResult) and beat.result.overdue:
            self.kill_child(worker)

    def kill_child(self, worker: Worker) -> None:
        """The child is killed, its main process lives: it ends the claim, and Celery puts the
        message back.
        """
        if worker.actor is None or worker.delivery is None:
            return
        scene, taken, pid = self._scene, worker.delivery, worker.pid
        self._end_child(worker, worker.actor)
        worker.pid += 1
        why, message = "the child was killed", taken.message.operation_id
        scene.act(
            Actor(worker.name, Role.KEEPER),
            lambda: leases.report_child_lost(
                scene.db,
                scene.settings,
                scene.broker,
                Holder(worker_id=worker.worker_id, pid=pid, message=message),
                why,
            ),
        )
        scene.broker.waiting.append(taken)

    def shut_down(self, worker: Worker) -> None:
        """SIGTERM and its grace is over: what still runs is handed back, the message too, and the
        worker starts anew.
        """
        if worker.actor is None or worker.delivery is None:
            return
        scene, delivery = self._scene, worker.delivery
        scene.act(
            Actor(worker.name, Role.KEEPER),
            lambda: leases.release_on_shutdown(scene.db, scene.broker, worker.worker_id),
        )
        self._end_child(worker, worker.actor)
        worker.restart()
        scene.broker.waiting.append(delivery)

    def _end_child(self, worker: Worker, actor: Actor) -> None:
        actor.ended = None
        self._scene.store.stage.resume(actor, 0, dies=True)
        worker.actor = worker.delivery = None
