"""A world in one process: the real engine between a simulated clock, broker, fleet of workers,
relays and people.

    with World([saga]) as world:
        job = world.people.submit(saga.name, {"name": "x"})
        world.interfere(lambda actor, point: Crash() if point == "after_effect" and actor.about == "charge_card.action" else None)
        world.land()
        assert world.objections() == []

Each verb of `people`, of `fleet` and of the world itself is one action of one process. With
`points=n` the actor stops after n named points, or at the one of that name, and waits in
`stage.paused`, to be resumed, frozen or killed; with `dies=True` it crashes there. The steps of a
saga may be anything that runs in this process; how they are made to fail is the caller's:
`interfere` is asked at every point, and `fires` at those of `surefoot.app.faults`, which are among
them under their own names.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import lru_cache
from types import TracebackType
from typing import Any

from surefoot.app import faults
from surefoot.app.config import Settings
from surefoot.app.engine.jobs.dispatch import FaultInjectingPublisher
from surefoot.app.engine.relay.relay import Sweeper
from surefoot.app.faults import Point
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.registry import Registry
from surefoot.app.simulation.clients import OTHER, TENANT, People
from surefoot.app.simulation.environment import Environment
from surefoot.app.simulation.fleet import Fleet
from surefoot.app.simulation.monitors import Watch
from surefoot.app.simulation.stage import Actor, Interfere, Role
from surefoot.app.simulation.store import SimStore, store_of_this_process
from surefoot.app.simulation.view import View
from surefoot.app.store.catalogue import register
from surefoot.app.store.tables import tenants
from surefoot.app.testkit import landing
from surefoot.app.testkit.broker import FakeBroker

# some leases, the longest backoffs one after the other, the doubled bounds of lost messages
LAND_WITHIN_S = 4000.0


@lru_cache
def usual_settings() -> Settings:
    """The defaults, whatever the environment says, or a seed would mean something else on each
    machine.
    """
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


@dataclass
class World:
    """`sagas` run in it. One at a time in a process: they share the store (`simulation.store`).

    `seed` feeds the engine's own randomness (backoff), so that a run is a function of what is asked
    of the world.
    """

    sagas: Sequence[Saga[Any]]
    seed: int = 0
    workers: int = 3
    relays: int = 2
    runs_on: bool = True
    settings: Settings = field(default_factory=usual_settings)
    store: SimStore = field(default_factory=store_of_this_process)
    fires: faults.Fires | None = None
    deployed: int = 0  # how many of the sagas are there from the beginning; 0: all
    shared: bool = False  # by two tenants

    def __post_init__(self) -> None:
        self.stage, self.clock, self.host = (
            self.store.stage,
            self.store.clock,
            self.store.host,
        )
        self.broker = FakeBroker(self.stage.point, lambda: self.host.open)
        first = self.sagas[: self.deployed or len(self.sagas)]
        self._scene = Environment(self.store, self.broker, self.settings, Registry(first))
        self.people = People(self._scene)
        self.fleet = Fleet(self._scene, self.workers, runs_on=self.runs_on)
        rings = FaultInjectingPublisher(self.broker)
        self.sweepers = [
            Sweeper(self._scene.db, self.settings, rings, self.broker, strict=True)
            for _ in range(self.relays)
        ]
        self.view = View(self.store.engine, self.store.changes)
        self._watch = Watch(self.store)
        self._held = ExitStack()

    # --- beginning and end ------------------------------------------------------------------------
    def __enter__(self) -> World:
        self._held.enter_context(self.store.host.drawing(self.seed))
        self._held.enter_context(faults.injecting(self))
        register(self.store.engine, self._scene.registry.all())
        with self.store.engine.begin() as tx:
            tx.execute(tenants.insert().values(id=TENANT, name="default"))
            if self.shared:
                tx.execute(tenants.insert().values(id=OTHER, name="other"))
        self.sweepers[0].run_once()  # leaves our marker in the broker
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.stage.clear()
        self._held.close()

    def deploy(self) -> Saga[Any] | None:
        """The next of the sagas is there from now on. None: all are."""
        known = len(self._scene.registry.all())
        if known == len(self.sagas):
            return None
        register(self.store.engine, self.sagas[known : known + 1])
        self._scene.registry = Registry(self.sagas[: known + 1])
        return self.sagas[known]

    def fire(self, target: str, point: Point) -> None:
        """An actor stands at a point of `surefoot.app.faults`."""
        self.stage.point(str(point))
        if self.fires is not None:
            self.fires.fire(target, point)

    # --- relays and time --------------------------------------------------------------------------
    def sweep(
        self, relay: int = 0, *, points: int | str | None = None, dies: bool = False
    ) -> Actor:
        """One round of a relay."""
        return self._scene.act(
            Actor(f"relay{relay}", Role.RELAY, points, dies), self.sweepers[relay].run_once
        )

    def tick(self, seconds: float, *, beats: bool = True) -> None:
        """Time passes; workers that are not frozen keep their leases."""
        self.clock.advance(seconds)
        if beats:
            for worker in self.fleet.workers:
                self.fleet.beat(worker)

    # --- processes that have stopped --------------------------------------------------------------
    def resume(self, actor: Actor, points: int | str | None = None, *, dies: bool = False) -> None:
        """A paused actor goes on."""
        self.stage.resume(actor, points, dies=dies)

    def crash(self, actor: Actor) -> None:
        """A paused actor dies where it stands."""
        self.stage.resume(actor, 0, dies=True)

    def interfere(self, how: Interfere | None) -> None:
        """Ask `how(actor, point)` at every point; what it returns is raised there.

        None: nobody interferes.
        """
        self.stage.interfere = how

    # --- healing ----------------------------------------------------------------------------------
    def heal(self, *, thaw: bool = True) -> None:
        """Nothing fails any more: store and broker are there, and who is paused or frozen goes on
        to its end.

        Without `thaw` those stay as they are, without heartbeats, and fresh workers take their
        places.
        """
        self.interfere(None)
        self.host.mend()
        self.broker.down, self.broker.lose_next = False, 0
        if not thaw:
            self.fleet.replace_the_busy()
            return
        while self.stage.paused:
            actor = self.stage.paused[0]
            actor.frozen, actor.says = False, None
            self.resume(actor)

    def land(self, *, bound_s: float = LAND_WITHIN_S) -> bool:
        """Deliver and sweep, letting time pass, until every job has ended or asks a person.

        False: the bound was passed.
        """
        until, step_s = self.clock.now_s + bound_s, 2.0

        def pass_time() -> bool:
            nonlocal step_s
            if self.clock.now_s > until:
                return False
            self.tick(step_s)
            self.sweep()
            step_s = min(60.0, step_s * 1.6)
            return True

        return landing.land(self.drain, lambda: not self.view.moving(), pass_time)

    def drain(self) -> None:
        """Deliver until the broker is empty. Raises: AssertionError for messages without end."""
        landing.drain(self.fleet.deliver)

    # --- what is wrong ----------------------------------------------------------------------------
    def objections(
        self, *, slack_s: float | None = None, bound_s: float | None = None
    ) -> list[str]:
        """What does not hold just now.

        Without times nobody promises a bound, only that there is a date at all.
        """
        return [*self._watch.broken(slack_s, bound_s), *self._scene.errors, *self.broker.objections]


__all__ = ["World"]
