"""Which events are believed: signed for their reader by the service whose event it is, and on
record there.

Everybody who can write to the broker can send an event, and an event moves money. So two things
are asked, each enough against a forger who has only the broker. The **signature** covers the whole
event and is made for one reader: a service that could forge by the key it verifies with could
forge for itself only. The **owner's record** is the outbox row that the owner wrote in the
transaction in which the fact became true: `OrderGivenUp` counts when the orders service has given
this order up, whatever a message says.

Keys come from one secret. A process that has the secret can sign for every service; those that
have only the broker, the store or a card cannot.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Protocol

from surefoot.app.errors import SettingsError
from surefoot.workers.sagas.order_choreographed.events import NAMES, Message, NoEvent, owner_of
from surefoot.workers.sagas.order_choreographed.settings import PREFIX, event_settings

LAYOUT = "surefoot.events/1"  # what is signed, and how: a change makes a new name


class Owner(Protocol):
    """A service that can be asked what it has said."""

    @property
    def name(self) -> str: ...

    def has_said(self, message: Message) -> bool: ...


class NotBelieved(NoEvent):
    """A message that could be an event, but is not ours. `why`: a word for a counter."""

    def __init__(self, why: str, sentence: str) -> None:
        super().__init__(sentence)
        self.why = why


def secrets() -> tuple[str, ...]:
    """What signatures are made with (the first) and checked against. Raises: SettingsError."""
    told = event_settings()
    if not told.secret:
        raise SettingsError(f"{PREFIX}SECRET: is not set; services sign their events with it")
    return tuple(filter(None, (told.secret, told.secret_also)))


def signed(message: Message, by: str) -> Message:
    """The same message, signed by this service for each of the others. Raises: SettingsError."""
    secret, message = secrets()[0], replace(message, by=by)
    return replace(message, signatures={to: _signature(secret, message, to) for to in NAMES})


def believed(body: bytes, reader: str, services: Sequence[Owner]) -> Message:
    """The event in these bytes.

    `reader`: a service's name; `services`: all there are, to ask the owner.

    Raises: NoEvent when it cannot be read, NotBelieved when it is forged, altered, made for
    another reader or not on record; what the owner's database raises.
    """
    message = Message.from_bytes(body)
    _check_signature(message, reader)
    owner = next((service for service in services if service.name == message.by), None)
    if owner is None or not owner.has_said(message):
        sentence = f"{message.by} has no record of {message.kind} for {message.job}"
        raise NotBelieved("not on record", sentence)
    return message


def _check_signature(message: Message, reader: str) -> None:
    given = message.signatures.get(reader)
    if message.by is None or given is None:
        raise NotBelieved("not signed", f"{message.kind} is not signed for {reader}")
    if owner_of(message) != message.by:
        raise NotBelieved("not its event", f"{message.kind} is not an event of {message.by}")
    try:
        made = [_signature(secret, message, reader) for secret in secrets()]
    except (ValueError, RecursionError) as error:
        raise NoEvent("its data cannot be written as JSON") from error
    if not any(hmac.compare_digest(one, given) for one in made):
        raise NotBelieved("signature", f"the signature of {message.kind} does not fit what it says")


def _signature(secret: str, message: Message, to: str) -> str:
    said = {name: value for name, value in message.__dict__.items() if name != "signatures"}
    text = json.dumps([LAYOUT, to, said], sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hmac.new(_key(secret, message.by or "", to), text.encode(), hashlib.sha256).hexdigest()


@lru_cache(maxsize=64)
def _key(secret: str, by: str, to: str) -> bytes:
    """The key of one service towards another one."""
    return hmac.new(secret.encode(), f"{LAYOUT}|{by}|{to}".encode(), hashlib.sha256).digest()
