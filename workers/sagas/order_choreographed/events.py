"""What the services tell each other.

An event is a fact about one order, and true of it at most once.

    OrderPlaced ─┬─> StockReserved | StockRefused ─┬─> OrderConfirmed ─> OrderShipped ─> ReceiptSent ─> OrderCompleted
                 └─> CardCharged   | CardDeclined ─┤
    OrderCancelRequested, a missed deadline ───────┴─> OrderGivenUp ─> StockReleased, CardRefunded ─> OrderVoided

So its id is its order and its name; two services, or two attempts, can never make two of them. An
event names its order (`job`, the correlation id) and the event that caused it. Readers ignore
fields they do not know: services are deployed one at a time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from surefoot.workers.sagas.order.models import OrderRequest

EXCHANGE = "order.events"
NAMES = ("orders", "inventory", "payments", "mail")  # of the services
MAX_EVENT_BYTES = 64 * 1024
WITHHELD = "withheld"  # the reference to the card, once nobody needs it any more


class NoEvent(ValueError):
    """What came is not an event that we publish: the sentence says why."""


class Event(BaseModel):
    """A fact about an order."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class OrderPlaced(Event):
    """`order`: in the place of its card is payments' reference to it."""

    order_id: int
    order: OrderRequest


class StockReserved(Event):
    """`reservation`: the key by which inventory knows it."""

    reservation: str
    sku: str
    quantity: int


class StockRefused(Event):
    reason: str


class CardCharged(Event):
    """`key`: by which the bank knows the charge; `charge_id`: the bank's own name for it."""

    key: str
    charge_id: str
    amount_cents: int


class CardDeclined(Event):
    reason: str


class OrderCancelRequested(Event):
    """The customer does not want it any more. A wish: whether it came in time, OrderGivenUp says."""


class OrderGivenUp(Event):
    """It will not be confirmed: services undo what they did for it, and do nothing more."""

    reason: str
    amount_cents: int


class StockReleased(Event):
    quantity: int


class CardRefunded(Event):
    """`state`: refunded, void (nothing was charged, and nothing can be) or declined."""

    state: str
    refunded_cents: int


class OrderVoided(Event):
    """The end of an order that was given up: nothing of it is left anywhere."""

    reason: str


class OrderConfirmed(Event):
    """No return from here: it is paid and the goods are held.

    The order goes with it, without its card.
    """

    reservation: str
    order: OrderRequest


class OrderShipped(Event):
    """Inventory hands on the order, although it needs nothing of it, because mail has to know where
    to write to.
    """

    quantity: int
    order: OrderRequest


class ReceiptSent(Event):
    message_id: str


class OrderCompleted(Event):
    """The end of an order that stands."""


class HelpNeeded(Event):
    """A service cannot go on with an event, and has written a letter for a person."""

    service: str
    event: str
    error: str


class WorkWaived(Event):
    """A person has decided that a service need not do what an event asked of it: nobody shall wait
    for it any longer.
    """

    service: str
    event: str
    by: str
    reason: str


KNOWN: dict[str, type[Event]] = {
    kind.__name__: kind
    for kind in (
        OrderPlaced,
        StockReserved,
        StockRefused,
        CardCharged,
        CardDeclined,
        OrderCancelRequested,
        OrderGivenUp,
        StockReleased,
        CardRefunded,
        OrderVoided,
        OrderConfirmed,
        OrderShipped,
        ReceiptSent,
        OrderCompleted,
        HelpNeeded,
        WorkWaived,
    )
}


OWNERS = {  # whose facts they are; the two that are not here name their service themselves
    "OrderPlaced": "orders",
    "OrderCancelRequested": "orders",
    "OrderGivenUp": "orders",
    "OrderVoided": "orders",
    "OrderConfirmed": "orders",
    "OrderCompleted": "orders",
    "StockReserved": "inventory",
    "StockRefused": "inventory",
    "StockReleased": "inventory",
    "OrderShipped": "inventory",
    "CardCharged": "payments",
    "CardDeclined": "payments",
    "CardRefunded": "payments",
    "ReceiptSent": "mail",
}
OF_ANY_SERVICE = ("HelpNeeded", "WorkWaived")


def owner_of(message: Message) -> str | None:
    """The service whose event this is; None when there is none of this kind."""
    if message.kind in OF_ANY_SERVICE:
        named = message.data.get("service")
        return named if named in NAMES else None
    return OWNERS.get(message.kind)


def id_of(job: str, event: Event) -> str:
    """The id of an event.

    Help is needed, and work waived, once for each event that a service is stuck with.
    """
    more = f":{event.service}:{event.event}" if isinstance(event, HelpNeeded | WorkWaived) else ""
    return f"{job}:{type(event).__name__}{more}"


@dataclass(frozen=True)
class Message:
    """An event on its way.

    `at`: when it became true, RFC 3339, by the clock of the service that says it; for people only.

    `by`: the service that says it; `signatures`: reader -> hex, see `trust`. A row of a desk has
    neither.
    """

    id: str
    kind: str
    job: str
    causation: str | None
    at: str
    data: dict[str, Any]
    by: str | None = None
    signatures: dict[str, str] = field(default_factory=dict)

    def event(self) -> Event:
        """Raises: NoEvent."""
        if self.kind not in KNOWN:
            raise NoEvent(f"{self.kind[:64]!r} is not an event that we publish")
        try:
            return KNOWN[self.kind].model_validate_json(json.dumps(self.data))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise NoEvent(
                f"{self.kind}: {'/'.join(map(str, first['loc']))}: {first['msg']}"
            ) from error

    def to_bytes(self) -> bytes:
        return json.dumps(self.__dict__, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, body: bytes) -> Message:
        """Raises: NoEvent for anything that cannot be our message."""
        if len(body) > MAX_EVENT_BYTES:
            raise NoEvent(f"it has {len(body)} bytes; an event has {MAX_EVENT_BYTES} at most")
        try:
            found = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise NoEvent("it is not JSON") from error
        if not isinstance(found, dict):
            raise NoEvent("it is not an object")
        for name, longest in (("id", 255), ("kind", 64), ("job", 64), ("at", 64)):
            value = found.get(name)
            if not isinstance(value, str) or not 0 < len(value) <= longest or "\0" in value:
                raise NoEvent(f"its {name} is not a text of 1 to {longest} characters")
        causation, data = found.get("causation"), found.get("data")
        if not (
            causation is None
            or (isinstance(causation, str) and len(causation) <= 255 and "\0" not in causation)
        ):
            raise NoEvent("its causation is not a text of at most 255 characters")
        if not isinstance(data, dict):
            raise NoEvent("it has no data")
        by, signatures = found.get("by"), found.get("signatures", {})
        if by is not None and by not in NAMES:
            raise NoEvent("it is not said by a service that there is")
        if not _are_signatures(signatures):
            raise NoEvent("its signatures are not texts by the names of services")
        return cls(
            found["id"], found["kind"], found["job"], causation, found["at"], data, by, signatures
        )


def _are_signatures(value: Any) -> bool:
    if not isinstance(value, dict) or set(value) - set(NAMES):
        return False
    return all(
        isinstance(text, str) and text.isascii() and len(text) == 64 for text in value.values()
    )
