"""The words a schedule is written in, and what each does to the world.

An action names what it is about by a number that is counted round among what is there just then ("the third message"), so
that a list of actions stays meaningful when some of them are taken out. One that finds nothing to act on does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

from surefoot.app.participant.barrier import ActionUndone
from surefoot.app.rules.reasons import rule_of
from surefoot.app.rules.states import Kind
from surefoot.app.saga.context import Context
from surefoot.app.saga.registry import Registry
from surefoot.app.simulation.clients import OTHER, TENANT
from surefoot.app.simulation.fleet import Worker
from surefoot.app.simulation.ledger import Ledger
from surefoot.app.simulation.sagas import StepPlan
from surefoot.app.simulation.service import SimService
from surefoot.app.simulation.stage import Actor, Role
from surefoot.app.simulation.words import FINDING_WORDS, KEYS, LETTER_WORDS, Action
from surefoot.app.simulation.world import World

T = TypeVar("T")
EXPIRING = (
    "relay.expired/asked"  # a relay has read whose lease has run out, and has not acted on it
)


def _one_of(things: Sequence[T], which: int) -> T | None:
    return things[which % len(things)] if things else None


@dataclass
class Director:
    """Does actions to a world with one saga, and keeps what its clients were told.

    `accepted`: key -> job id of every 202; `waived`: (job, step, kind) that a person let go; `objections`: answers that
    contradict each other.
    """

    world: World
    service: SimService
    saga: str
    plans: Sequence[StepPlan] = ()
    ledger: Ledger | None = None
    accepted: dict[str, str] = field(default_factory=dict)
    waived: set[tuple[str, str, str]] = field(default_factory=set)
    objections: list[str] = field(default_factory=list)

    def do(self, action: Action) -> str:
        """Do it. Returns what happened, in words; empty when there was nothing to act on."""
        verb: Callable[[Action], str] = getattr(self, f"_{action.verb}")
        return verb(action)

    def problems(self, *, slack_s: float | None = None, bound_s: float | None = None) -> list[str]:
        """Everything that does not hold just now."""
        asked = self.world.objections(slack_s=slack_s, bound_s=bound_s)
        ledger = self.ledger.objections if self.ledger is not None else []
        return [*asked, *self.service.objections, *ledger, *self.objections]

    # --- clients ---------------------------------------------------------------------------------------------------
    def _submit(self, action: Action) -> str:
        tenant = OTHER if self.world.shared and action.which // KEYS % 2 else TENANT
        asked_key = f"k{action.which % KEYS}"
        key = asked_key if tenant == TENANT else f"{asked_key} of the other tenant"

        def told(job_id: str) -> None:
            if self._tenant_of(job_id) != tenant:
                self.objections.append(f"{key} was answered with another tenant's job")
            if self.accepted.setdefault(key, job_id) != job_id:
                self.objections.append(f"one idempotency key was answered with two jobs ({key})")

        deadline_s = action.seconds or None
        actor = self.world.people.submit(
            self.saga,
            {},
            key=asked_key,
            deadline_s=deadline_s,
            tenant=tenant,
            points=action.budget,
            dies=action.dies,
            told=told,
        )
        return _told(
            actor,
            f"submits {key}" + (f" with a deadline of {action.seconds:g} s" if deadline_s else ""),
        )

    def _cancel(self, action: Action) -> str:
        job = _one_of(self.world.view.job_ids(), action.which)
        return (
            _told(
                self.world.people.cancel(job, points=action.budget, dies=action.dies),
                f"asks for {_short(job)}",
            )
            if job
            else ""
        )

    def _intrude(self, action: Action) -> str:
        """Somebody asks for what is another tenant's, and is told that there is no such thing."""
        letters = self.world.view.letters() if action.who % 2 else []
        job = _one_of(self.world.view.job_ids(), action.which)
        letter = _one_of(letters, action.which)
        asked = letter.job_id if letter is not None else job
        if asked is None:
            return ""
        stranger = OTHER if self._tenant_of(asked) == TENANT else TENANT
        which = {"letter_id": letter.id} if letter is not None else {"job_id": asked}
        actor = self.world.people.intrude(stranger, **which)
        if actor.done and actor.error is None:
            self.objections.append(f"another tenant's wish for {_short(asked)} was obeyed")
        return _told(actor, f"asks for {_short(asked)} of another tenant")

    def _tenant_of(self, job_id: str) -> str:
        found = self.world.store.ask("SELECT tenant_id FROM surefoot_jobs WHERE id = ?", job_id)
        return str(UUID(str(found[0][0])))

    def _again(self, action: Action) -> str:
        job = _one_of(self.world.view.ended(), action.which)
        if job is None:
            return ""
        actor = self.world.people.again(
            job, meant=action.who % 2 == 0, points=action.budget, dies=action.dies
        )
        return _told(actor, f"asks for {_short(job)} once more")

    def _letter(self, action: Action) -> str:
        letter = _one_of(self.world.view.loose_letters(), action.which)
        if letter is None:
            return ""
        word = LETTER_WORDS[action.who % 2]
        actor = self.world.people.letter(letter.id, word, points=action.budget, dies=action.dies)
        return _told(actor, f"sees to the letter of {letter.step}.{letter.kind}")

    def _person(self, action: Action) -> str:
        letter = _one_of(
            [row for row in self.world.view.letters() if not self._is_at_it(row)], action.which
        )
        if letter is None:
            return ""
        word = self._honest(letter, action.word or "retry")
        if word == "waive":
            self.waived.add((letter.job_id, letter.step, letter.kind))
        decided = self.world.people.resolve(letter.id, word, points=action.budget, dies=action.dies)
        return _told(decided, f"decides {letter.step}.{letter.kind}")

    def _is_at_it(self, letter: Any) -> bool:
        """Whether somebody who was stopped may still do it once more: a person waits until that is known."""
        bare = any(plan.bare and plan.name == letter.step for plan in self.plans)
        return bare and any(actor.about == letter.step for actor in self.world.stage.paused)

    def _honest(self, letter: Any, word: str) -> str:
        """A person says only what is so: does it by hand before "done", voids the key before "absent"."""
        done = letter.step in self.service.of(letter.job_id, letter.kind)
        ctx = Context(letter.job_id, self.saga, letter.step, letter.item, letter.kind)
        if rule_of(letter.why).lateness:
            return "retry"
        if word == "retry" and rule_of(letter.why).asks and done:
            return "mark_done"  # to try again would say that it is not there
        if (
            word == "retry"
            and done
            and any(plan.bare and plan.name == letter.step for plan in self.plans)
        ):
            word = "mark_done"  # asked for again it would happen again
        graph = next(saga.graph for saga in self.world.sagas if saga.name == self.saga)
        if word == "mark_absent" and (
            done or letter.kind != Kind.ACTION or not graph.by_name[letter.step].pivot
        ):
            word = "mark_done"  # it is there, or there is no way back from it: done by hand
        if word == "mark_absent":
            self.service.by_hand(
                Context(letter.job_id, self.saga, letter.step, letter.item, Kind.UNDO)
            )
        elif word == "mark_done" and not done:
            try:
                self.service.by_hand(ctx)
            except ActionUndone:
                return "mark_absent"  # it was voided before
        return word

    # --- reconciliation --------------------------------------------------------------------------------------------
    def _patrol(self, action: Action) -> str:
        if any(actor.name == "patrol" for actor in self.world.stage.paused):
            return ""
        return _told(self.world.people.patrol(points=action.budget, dies=action.dies), "reconciles")

    def _stray(self, action: Action) -> str:
        step = _one_of([plan.name for plan in self.plans if plan.on_books], action.which)
        if self.ledger is None or step is None:
            return ""
        self.ledger.stray(self.saga, step)
        return f"a job that had done {step} is lost"

    def _drift(self, action: Action) -> str:
        step = self.ledger.drift(action.which) if self.ledger is not None else ""
        return f"somebody takes back {step} of a job that completed" if step else ""

    def _finding(self, action: Action) -> str:
        found = _one_of(self.world.view.findings(), action.which)
        if found is None:
            return ""
        word = FINDING_WORDS[action.who % len(FINDING_WORDS)]
        actor = self.world.people.finding(found.id, word, points=action.budget, dies=action.dies)
        return _told(actor, f"decides about a finding of {found.step}")

    # --- workers ---------------------------------------------------------------------------------------------------
    def _deliver(self, action: Action) -> str:
        idle = [worker for worker in self.world.fleet.workers if worker.idle]
        delivery, worker = (
            _one_of(self.world.broker.waiting, action.which),
            _one_of(idle, action.who),
        )
        if delivery is None or worker is None:
            return ""
        stranger = action.word == "stranger"
        versions = [
            Registry(),
            *(Registry([saga]) for saga in self.world.sagas[:-1]),
        ]  # what a worker may lack
        actor = self.world.fleet.deliver(
            delivery,
            worker,
            says=None if stranger else action.word or None,
            points=action.budget,
            dies=action.dies,
            redelivers=action.seconds == 0,
            registry=versions[action.who % len(versions)] if stranger else None,
        )
        return _told(
            actor,
            f"gets {delivery.name} of {_short(delivery.message.job_id)}"
            + (f" ({action.word})" if action.word else ""),
        )

    def _resume(self, action: Action) -> str:
        actor = _one_of([a for a in self.world.stage.paused if not a.frozen], action.which)
        if actor is None:
            return ""
        self.world.resume(actor, action.budget, dies=action.dies)
        return _told(actor, "goes on")

    def _freeze(self, action: Action) -> str:
        actor = _one_of([a for a in self.world.stage.paused if not a.frozen], action.which)
        if actor is None:
            return ""
        actor.frozen = True
        return f"{actor.name} freezes at {actor.at}"

    def _oversleep(self, action: Action) -> str:
        """A worker sleeps until its lease has run out and a relay has seen it, and wakes."""
        actor = _one_of([a for a in self.world.stage.paused if a.role == Role.WORKER], action.which)
        if actor is None or any(a.name == "relay0" for a in self.world.stage.paused):
            return ""
        actor.frozen = True
        self.world.tick(self.world.settings.lease_seconds + 1)
        swept = self.world.sweep(0)
        actor.frozen = False
        return _told(swept, f"sweeps after {actor.name} has slept through its lease at {actor.at}")

    def _thaw(self, action: Action) -> str:
        actor = _one_of([a for a in self.world.stage.paused if a.frozen], action.which)
        if actor is None:
            return ""
        actor.frozen = False
        return f"{actor.name} thaws at {actor.at}"

    def _crash(self, action: Action) -> str:
        actor = _one_of(self.world.stage.paused, action.which)
        if actor is None:
            return ""
        self.world.crash(actor)
        return f"{actor.name} dies at {actor.at}"

    def _kill_child(self, action: Action) -> str:
        return self._to_a_busy_one(
            action, self.world.fleet.kill_child, "the child of {name} is killed at {at}"
        )

    def _shut_down(self, action: Action) -> str:
        return self._to_a_busy_one(
            action, self.world.fleet.shut_down, "{name} is shut down at {at}"
        )

    def _to_a_busy_one(self, action: Action, deed: Callable[[Worker], object], told: str) -> str:
        worker = _one_of([w for w in self.world.fleet.workers if not w.idle], action.which)
        if worker is None or worker.actor is None:
            return ""
        at = worker.actor.at
        deed(worker)
        return told.format(name=worker.name, at=at)

    def _deploy(self, action: Action) -> str:
        saga = self.world.deploy()
        return f"version {saga.version} is deployed" if saga is not None else ""

    # --- relays and time -------------------------------------------------------------------------------------------
    def _sweep(self, action: Action) -> str:
        relay = action.which % len(self.world.sweepers)
        if any(actor.name == f"relay{relay}" for actor in self.world.stage.paused):
            return ""
        actor = self.world.sweep(relay, points=action.budget, dies=action.dies)
        return _told(actor, "sweeps")

    def _doze(self, action: Action) -> str:
        """A relay finds a lease that has run out, and nods off before it acts; meanwhile the late heartbeat comes."""
        relay = f"relay{action.which % len(self.world.sweepers)}"
        if all(worker.idle for worker in self.world.fleet.workers) or any(
            a.name == relay for a in self.world.stage.paused
        ):
            return ""
        self.world.tick(self.world.settings.lease_seconds + 1, beats=False)
        swept = self.world.sweep(action.which % len(self.world.sweepers), points=EXPIRING)
        if not swept.done:
            self.world.tick(0)
            self.world.resume(swept)
        return _told(swept, "sweeps, and nods off when it has looked for leases that have run out")

    def _tick(self, action: Action) -> str:
        self.world.tick(action.seconds, beats=action.word != "no beats")
        return f"{action.seconds:g} s pass" + (" without heartbeats" if action.word else "")

    # --- the broker ------------------------------------------------------------------------------------------------
    def _drop(self, action: Action) -> str:
        delivery = _one_of(self.world.broker.waiting, action.which)
        if delivery is None:
            return ""
        self.world.broker.waiting.remove(delivery)
        return f"the message of {delivery.name} is lost"

    def _duplicate(self, action: Action) -> str:
        delivery = _one_of(self.world.broker.waiting, action.which)
        return self._come_again(delivery.copy() if delivery else None, "repeated")

    def _old(self, action: Action) -> str:
        delivery = _one_of(self.world.broker.old, action.which)
        return self._come_again(delivery.copy() if delivery else None, "found again, late")

    def _come_again(self, delivery: Any, how: str) -> str:
        if delivery is None:
            return ""
        self.world.broker.waiting.append(delivery)
        return f"the message of {delivery.name} is {how}"

    def _flush(self, action: Action) -> str:
        self.world.broker.flush()
        return "the broker loses everything"

    def _lose(self, action: Action) -> str:
        self.world.broker.lose_next = 1 + action.which % 3
        return f"the next {self.world.broker.lose_next} messages will be lost"

    def _broker(self, action: Action) -> str:
        self.world.broker.down = not self.world.broker.down
        return "the broker goes away" if self.world.broker.down else "the broker is back"

    # --- the store -------------------------------------------------------------------------------------------------
    def _store(self, action: Action) -> str:
        self.world.host.down = not self.world.host.down
        return "the store goes away" if self.world.host.down else "the store is back"

    def _locked(self, action: Action) -> str:
        self.world.host.locked_next = 1 + action.which % 3
        return f"the next {self.world.host.locked_next} transactions will find the store locked"

    def _answer(self, action: Action) -> str:
        self.world.host.answer_lost_next = 1
        return "the answer to the next COMMIT will be lost"


def _short(job_id: str) -> str:
    return f"job {int(job_id[-4:], 16)}"


def _told(actor: Actor | None, what: str) -> str:
    if actor is None:
        return ""
    if actor.crashed:
        end = f"dies at {actor.at}"
    elif not actor.done:
        end = f"stops at {actor.at}"
    elif actor.error is not None:
        end = type(actor.error).__name__
    else:
        end = _result(actor.result)
    return f"{actor.name} {what}: {end}"


def _result(result: Any) -> str:
    if isinstance(result, dict):
        return ", ".join(f"{name} {count}" for name, count in result.items()) or "nothing"
    if hasattr(result, "message"):
        return str(result.message)
    return str(result)
