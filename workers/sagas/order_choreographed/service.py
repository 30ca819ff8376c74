"""One service: it takes events in, handles each once, and says what came of it.

An event goes through three moments, each one transaction, and a crash between any two of them is
healed by the rows that the one before has left: it **arrives** (a row, then the broker's
acknowledgement), it is **handled** (the effect, what it causes, the word that it is done), and what
it caused is **sent**. A handler that calls somebody outside does so between the first two, under
the effect's key, so that a repeat finds what is there.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import structlog

from surefoot import ActionUndone, Context, Rejected
from surefoot.app.metrics.counters import EVENTS_REFUSED
from surefoot.workers.sagas.order.services.database import ServiceDatabase
from surefoot.workers.sagas.order_choreographed import desk, trust
from surefoot.workers.sagas.order_choreographed.desk import Claimed
from surefoot.workers.sagas.order_choreographed.events import (
    Event,
    HelpNeeded,
    Message,
    NoEvent,
    WorkWaived,
)
from surefoot.workers.sagas.order_choreographed.settings import event_settings

log = structlog.get_logger("surefoot.events")
SAGA = "order_choreographed"
QUARANTINED_MOST = 1000  # open letters of one service about messages that are not events
MARGIN_S = 1.0  # an attempt stops calling so long before another one may take over

Send = Callable[[Sequence[Message]], None]


class TakenOver(Exception):
    """Another attempt holds this event now: what this one did is rolled back."""


@dataclass(frozen=True)
class Route:
    """What a service does with a kind of event.

    `handle(ctx, event)` gives the events it causes; `ctx` has the key of step `step`, `kind` action
    or undo. `remote`: it calls somebody outside, so no transaction is open around it. `refuse`
    makes the event of a no: of `Rejected`, and of attempts used up. Without it the service cannot
    say no, so a person is asked.
    """

    event: type[Event]
    handle: Callable[[Context, Any], Iterable[Event]]
    step: str
    kind: str = "action"
    remote: bool = False
    refuse: Callable[[str], Event] | None = None

    @property
    def allowance(self) -> int:
        return event_settings().attempts if self.refuse else event_settings().patient_attempts


@dataclass(frozen=True)
class Service:
    """A service and its desk. `routes`: one for each kind of event that it listens to."""

    name: str
    database: ServiceDatabase
    routes: tuple[Route, ...]
    remind: Callable[[], int] = lambda: (
        0
    )  # what it does by its own clock; how many orders that were

    @cached_property
    def _by_kind(self) -> Mapping[str, Route]:
        return {route.event.__name__: route for route in self.routes}

    @property
    def listens_to(self) -> list[str]:
        return sorted(self._by_kind)

    @property
    def queue(self) -> str:
        return f"order.events.{self.name}"

    # --- the three moments ------------------------------------------------------------------------
    def arrive(self, message: Message) -> Claimed | None:
        """Keep an event; then its message may be acknowledged.

        None: there is nothing to do for it now.

        An event that has come before changes nothing, but what it caused is sent once more.
        """
        route = self._by_kind.get(message.kind)
        if route is None:
            return None
        with self.database.transaction() as tx:
            claimed = desk.arrive(
                tx, self.name, message, route.allowance, event_settings().hold_seconds
            )
            if claimed is None:
                desk.answer_again(tx, self.name, message.id)
        return claimed

    def handle(self, claimed: Claimed) -> None:
        """Do what an event asks for, and put on record how it went.

        Raises only what its own database raises.
        """
        route, message = self._by_kind[claimed.message.kind], claimed.message
        bound = log.bind(
            service=self.name, job=message.job, event_id=message.id, attempt=claimed.attempts
        )
        try:
            if claimed.attempts > claimed.allowance:
                raise _Worn("its attempts ended without a word, the process with them")
            self._do(route, claimed, message.event())
            bound.info("event_handled")
        except ActionUndone:
            self._settled(claimed, [], "its undo had come before it")
            bound.info("event_undone_before")
        except TakenOver:
            bound.warning("event_taken_over")
        except (Rejected, NoEvent, _Worn) as error:
            self._refuse(route, claimed, error)
            bound.info("event_refused", error=str(error))
        except Exception as error:  # a handler may raise anything; what it means is the same: later
            bound.info("attempt_failed", error=_told(error))
            if claimed.worn_out:
                self._refuse(route, claimed, error)
            else:
                with self.database.transaction() as tx:
                    desk.again(tx, self.name, claimed, _told(error), _backoff_s(claimed.attempts))

    def send(self, send: Send) -> int:
        """Send what the outbox holds; how many that were.

        Raises: what `send` does, and then all of it is sent again.
        """
        with self.database.snapshot() as tx:
            messages = desk.unsent(tx, self.name, event_settings().sweep_rows)
        if messages:
            send([trust.signed(message, self.name) for message in messages])
            with self.database.transaction() as tx:
                desk.mark_sent(tx, [message.id for message in messages])
        return len(messages)

    # --- what is due ------------------------------------------------------------------------------
    def take_over(self) -> Claimed | None:
        """Claim an event that is to be tried again, or whose attempt has died."""
        with self.database.snapshot() as tx:
            ids = desk.due(tx, self.name, event_settings().sweep_rows)
        for event_id in ids:
            with self.database.transaction() as tx:
                if claimed := desk.claim(tx, self.name, event_id, event_settings().hold_seconds):
                    return claimed
        return None

    def has_said(self, message: Message) -> bool:
        """Whether this service has it on record that it said this. Raises: what its database does."""
        with self.database.snapshot() as tx:
            return desk.said(tx, self.name, message)

    # --- what cannot be read, what cannot be done -------------------------------------------------
    def quarantine(self, name: str, error: NoEvent) -> None:
        """Keep a word about a message that nobody can read or believe; its broker never sees it
        again.

        Of a flood the first QUARANTINED_MOST letters are kept until somebody has answered them; all
        are counted.
        """
        why = error.why if isinstance(error, trust.NotBelieved) else "unreadable"
        EVENTS_REFUSED.add(service=self.name, why=why)
        with self.database.transaction() as tx:
            if desk.unread_letters(tx, self.name, QUARANTINED_MOST) < QUARANTINED_MOST:
                desk.write_letter(tx, self.name, name, None, why, str(error), 1, needs_person=False)
        log.warning(
            "event_quarantined", service=self.name, event_id=name, why=why, error=str(error)
        )

    def redrive(self, letter_id: int, actor: str, why: str) -> bool:
        """Redrive a letter's event with fresh attempts.

        False: no open letter of this number has an event to redrive.
        """
        try:
            with self.database.transaction() as tx:
                letter = desk.resolve_letter(tx, self.name, letter_id, "redriven", actor, why)
                route = self._by_kind.get(letter.kind) if letter is not None else None
                if (
                    letter is None
                    or route is None
                    or not desk.fresh_attempts(tx, self.name, letter.event_id, route.allowance)
                ):
                    raise _NothingThere  # and the letter stays open
        except _NothingThere:
            return False
        return True

    def discard(self, letter_id: int, actor: str, why: str) -> bool:
        """Close a letter without doing anything: its event stays failed.

        False: no open letter of this number.

        Where an order waits for that event, this is said to all, so that it waits no longer.
        """
        with self.database.transaction() as tx:
            letter = desk.resolve_letter(tx, self.name, letter_id, "discarded", actor, why)
            if letter is not None and letter.needs_person:
                waived = WorkWaived(
                    service=self.name,
                    event=letter.kind,
                    by=actor,
                    reason=why[: desk.MAX_ERROR_CHARS],
                )
                desk.say(tx, self.name, letter.job, [waived], letter.event_id)
        return letter is not None

    # --- how --------------------------------------------------------------------------------------
    def _do(self, route: Route, claimed: Claimed, event: Event) -> None:
        ctx = Context(
            job_id=claimed.message.job,
            saga=SAGA,
            step=route.step,
            kind=route.kind,
            attempt=claimed.attempts,
            fence=claimed.attempts,
            deadline=time.monotonic() + max(MARGIN_S, event_settings().hold_seconds - MARGIN_S),
        )
        if route.remote:
            caused = list(route.handle(ctx, event))
            if not self._settled(claimed, caused):
                raise TakenOver
            return
        with self.database.transaction():
            if not self._settled(claimed, list(route.handle(ctx, event))):
                raise TakenOver  # the effect goes with it

    def _settled(self, claimed: Claimed, caused: Sequence[Event], note: str | None = None) -> bool:
        """Whether this attempt may end it; if so it is handled, and what it causes is in the
        outbox.
        """
        with self.database.transaction() as tx:
            if not desk.handled(tx, self.name, claimed, note):
                return False
            desk.say(tx, self.name, claimed.message.job, caused, claimed.message.id)
            return True

    def _refuse(self, route: Route, claimed: Claimed, error: Exception) -> None:
        """Say no where the service can. Else, and whenever it did not mean to: a letter."""
        message, told = claimed.message, _told(error)
        meant = isinstance(error, Rejected) and route.refuse is not None
        with self.database.transaction() as tx:
            if route.refuse is not None:
                if not desk.handled(tx, self.name, claimed, told):
                    return
                caused: Event = route.refuse(str(error))
            else:
                if not desk.failed(tx, self.name, claimed, told):
                    return
                caused = HelpNeeded(service=self.name, event=message.kind, error=told)
            desk.say(tx, self.name, message.job, [caused], message.id)
            if not meant:
                desk.write_letter(
                    tx,
                    self.name,
                    message.id,
                    message.job,
                    message.kind,
                    told,
                    claimed.attempts,
                    needs_person=route.refuse is None,
                )


class _Worn(Exception):
    """Out of attempts."""


class _NothingThere(Exception):
    """There is nothing to redrive."""


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[: desk.MAX_ERROR_CHARS]


def _backoff_s(attempt: int) -> float:
    limits = event_settings()
    return random.random() * min(
        limits.backoff_cap_seconds, limits.backoff_seconds * 2.0 ** min(attempt - 1, 30)
    )
