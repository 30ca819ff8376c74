"""Clients that submit and cancel, and the person who decides about a dead letter."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from surefoot.app import faults
from surefoot.app.engine.jobs.dispatch import publish_plan
from surefoot.app.engine.jobs.intake import Entrance
from surefoot.app.engine.jobs.submit import Submission, submit
from surefoot.app.engine.operators import decisions
from surefoot.app.engine.operators.redrive import discard_letter, redrive_letter
from surefoot.app.engine.operators.resubmit import Asked, resubmit_job
from surefoot.app.engine.reconcile import findings, run
from surefoot.app.engine.reconcile.findings import UndoAsked
from surefoot.app.faults import Point
from surefoot.app.simulation.environment import Environment
from surefoot.app.simulation.stage import Actor, Role
from surefoot.app.store.actors import Actor as Person

TENANT = "00000000-0000-7000-8000-000000000001"
OTHER = "00000000-0000-7000-8000-000000000002"  # the second tenant, where a world is shared


class People:
    """Each verb is one request. `points`, `dies`: as the world says."""

    def __init__(self, scene: Environment) -> None:
        self._scene = scene

    def submit(
        self,
        saga: str,
        value: Any,
        *,
        key: str | None = None,
        deadline_s: float | None = None,
        tenant: str = TENANT,
        points: int | str | None = None,
        dies: bool = False,
        told: Callable[[str], None] | None = None,
    ) -> Actor:
        """A client asks for a job and rings.

        The actor's result is the job's id; `told(job id)`: when it is answered.
        """
        asked, scene = (
            Submission(tenant, saga, value, "client", key=key, deadline_s=deadline_s),
            self._scene,
        )

        def work() -> str:
            faults.reached(Point.BEFORE_EFFECT, "web", "submit")
            submitted = submit(scene.db, scene.settings, scene.registry, asked)
            faults.reached(Point.AFTER_COMMIT, "web", "submit")
            publish_plan(scene.db, scene.broker, submitted.plan)
            faults.reached(Point.AFTER_PUBLISH, "web", "submit")
            if told is not None:
                told(submitted.job_id)
            return submitted.job_id

        return scene.act(Actor("web", Role.WEB, points, dies), work)

    def cancel(self, job_id: str, *, points: int | str | None = None, dies: bool = False) -> Actor:
        """A client cancels."""
        scene = self._scene
        return self._decide(
            Actor("cancel", Role.WEB, points, dies),
            lambda: decisions.cancel(scene.db, scene.settings, job_id, "client"),
        )

    def intrude(self, tenant: str, *, job_id: str = "", letter_id: str = "") -> Actor:
        """Somebody of this tenant cancels a job, or waives what a person is asked about."""
        scene, stranger = self._scene, Person("stranger", None, tenant)
        if letter_id:
            waived = partial(decisions.waive, scene.db, letter_id, stranger, "looked")
            return self._decide(Actor("intruder", Role.WEB), waived)
        cancelled = partial(decisions.cancel, scene.db, scene.settings, job_id, stranger)
        return self._decide(Actor("intruder", Role.WEB), cancelled)

    def resolve(
        self, letter_id: str, word: str, *, points: int | str | None = None, dies: bool = False
    ) -> Actor:
        """A person decides about a dead letter: `retry`, `mark_done`, `waive` or `mark_absent`.

        By-hand work is the caller's.
        """
        scene = self._scene

        def asked() -> decisions.Decision:
            if word == "mark_absent":
                return decisions.mark_absent(
                    scene.db, scene.settings, letter_id, "person", "looked"
                )
            verb = {
                "retry": decisions.retry,
                "mark_done": decisions.mark_done,
                "waive": decisions.waive,
            }[word]
            return verb(scene.db, letter_id, "person", "looked")

        return self._decide(Actor(word, Role.PERSON, points, dies), asked)

    def again(
        self, job_id: str, *, meant: bool, points: int | str | None = None, dies: bool = False
    ) -> Actor:
        """A client resubmits an ended job. `meant`: even one that completed."""
        asked = Asked("client", "once more", again=meant)
        return self._send_back(
            Actor("again", Role.WEB, points, dies),
            lambda entrance: resubmit_job(entrance, job_id, asked),
        )

    def letter(
        self, letter_id: str, word: str, *, points: int | str | None = None, dies: bool = False
    ) -> Actor:
        """A person sees to a letter that holds no job: `send_back` or `lay_down`."""
        actor, scene = Actor(word, Role.PERSON, points, dies), self._scene
        if word == "lay_down":
            return scene.act(actor, lambda: discard_letter(scene.db, letter_id, "person", "looked"))
        return self._send_back(
            actor, lambda entrance: redrive_letter(entrance, letter_id, Asked("person", "looked"))
        )

    def patrol(self, *, points: int | str | None = None, dies: bool = False) -> Actor:
        """A process reconciles the next jobs."""
        scene = self._scene
        work = partial(run.patrol, scene.db, scene.settings, scene.registry, "patrol")
        return scene.act(Actor("patrol", Role.RELAY, points, dies), lambda: len(work().found))

    def look(self) -> None:
        """Every job of the window is reconciled, and nothing fails."""
        scene = self._scene
        run.whole_window(scene.store.engine, scene.settings, scene.registry, "patrol")

    def finding(
        self, finding_id: str, word: str, *, points: int | str | None = None, dies: bool = False
    ) -> Actor:
        """A person decides about a finding: `adopt`, `undo`, `close`; or to `decide` that a patrol
        undoes it.
        """
        scene = self._scene
        who = ("person", "looked")
        verbs: dict[str, Callable[[], Any]] = {
            "adopt": lambda: findings.adopt(scene.db, finding_id, *who),
            "undo": lambda: findings.undo(scene.db, scene.registry, finding_id, UndoAsked(*who)),
            "decide": lambda: (
                findings.decide_undo(scene.db, scene.registry, finding_id, UndoAsked(*who)).id
            ),
            "close": lambda: findings.close(scene.db, finding_id, *who),
        }
        return scene.act(Actor(word, Role.PERSON, points, dies), verbs[word])

    def _send_back(self, actor: Actor, asked: Callable[[Entrance], Any]) -> Actor:
        scene = self._scene
        entrance = Entrance(
            scene.db, scene.settings, scene.registry, lambda connection, tenant: None
        )

        def work() -> str:
            done = asked(entrance)
            publish_plan(scene.db, scene.broker, done.plan)
            return str(getattr(done, "job_id", ""))

        return scene.act(actor, work)

    def _decide(self, actor: Actor, asked: Callable[[], decisions.Decision]) -> Actor:
        def work() -> decisions.Decision:
            decision = asked()
            publish_plan(self._scene.db, self._scene.broker, decision.plan)
            return decision

        return self._scene.act(actor, work)
