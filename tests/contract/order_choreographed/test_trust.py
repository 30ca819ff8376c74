"""Events that somebody else sends who can write to the broker: none has an effect, each is told
of."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from surefoot import Context
from surefoot.app import metrics
from surefoot.app.config import Settings
from surefoot.app.errors import SettingsError
from surefoot.app.metrics.files import stop
from surefoot.workers.sagas.order.services import bank_book, inventory, mail, payment
from surefoot.workers.sagas.order_choreographed import service as service_module
from surefoot.workers.sagas.order_choreographed import trust
from surefoot.workers.sagas.order_choreographed.doctor import events as doctor_events
from surefoot.workers.sagas.order_choreographed.events import (
    KNOWN,
    NAMES,
    Message,
    NoEvent,
    owner_of,
)
from surefoot.workers.sagas.order_choreographed.house import House
from surefoot.workers.sagas.order_choreographed.server import serve
from surefoot.workers.sagas.order_choreographed.services import SERVICES
from tests.support.choreography import BY_NAME, SECRET, Street, request_of

ORDER = request_of(amount_cents=123456, email="victim@example.org").model_dump(mode="json")
LEAKED, STRANGE = SECRET, "a-secret-that-somebody-else-made-up-for-it"


def forged(kind: str, job: str = "job-1", **data: Any) -> Message:
    return Message(f"{job}:{kind}", kind, job, None, "2026-11-28T00:00:00+00:00", data)


TABLE = {  # name -> (who is to believe it, the event)
    "given up, completed here": ("payments", forged("OrderGivenUp", reason="x", amount_cents=1250)),
    "given up, goods": ("inventory", forged("OrderGivenUp", reason="x", amount_cents=1250)),
    "given up, completed by the engine": (
        "payments",
        forged("OrderGivenUp", "job-2", reason="x", amount_cents=888),
    ),
    "placed, no job: charge": (
        "payments",
        forged("OrderPlaced", "nobody", order_id=1, order=ORDER),
    ),
    "placed, no job: goods": (
        "inventory",
        forged("OrderPlaced", "nobody", order_id=1, order=ORDER),
    ),
    "shipped, no job": ("mail", forged("OrderShipped", "nobody", quantity=1, order=ORDER)),
    "confirmed, no job": (
        "inventory",
        forged("OrderConfirmed", "nobody", reservation="r", order=ORDER),
    ),
    "charged, while the bank is slow": (
        "orders",
        forged("CardCharged", "job-3", key="k", charge_id="c", amount_cents=1250),
    ),
    "declined": ("orders", forged("CardDeclined", "job-3", reason="x")),
    "reserved": (
        "orders",
        forged("StockReserved", "job-3", reservation="r", sku="apple", quantity=3),
    ),
    "receipt": ("orders", forged("ReceiptSent", "job-3", message_id="m")),
    "waived": (
        "orders",
        forged("WorkWaived", "job-3", service="payments", event="OrderGivenUp", by="x", reason="x"),
    ),
    "help": (
        "orders",
        forged("HelpNeeded", "job-3", service="payments", event="OrderPlaced", error="x"),
    ),
}
SIGNED: dict[str, tuple[Callable[[Message, pytest.MonkeyPatch], Message], str]] = {
    "not": (lambda message, _: message, "not signed"),
    "with another secret": (
        lambda message, patch: _signed(message, owner_of(message) or "", patch, STRANGE),
        "signature",
    ),
    "by another service": (
        lambda message, patch: _signed(message, _other_than(message), patch, LEAKED),
        "not its event",
    ),
    "with the services' own secret": (
        lambda message, patch: _signed(message, owner_of(message) or "", patch, LEAKED),
        "not on record",
    ),
}


def _signed(message: Message, by: str, patch: pytest.MonkeyPatch, secret: str) -> Message:
    patch.setenv("SUREFOOT_EVENTS_SECRET", secret)
    made = trust.signed(message, by)
    patch.setenv("SUREFOOT_EVENTS_SECRET", SECRET)
    return made


def _other_than(message: Message) -> str:
    return next(name for name in NAMES if name != owner_of(message))


def books(street: Street) -> dict[str, Any]:
    return {
        "shelf": inventory.read_all(),
        "charges": payment.all_charges(),
        "bank": bank_book.book(),
        "mails": mail.receipts_by_job(),
        "phases": [street.phase(f"job-{n}") for n in (1, 3)],
        "heard": {
            name: [street.heard(name, job) for job in ("job-1", "job-2", "job-3", "nobody")]
            for name in NAMES
        },
    }


@pytest.fixture
def busy(street: Street) -> Street:
    """job-1 is completed here; job-2 was charged by `order`, which shares payments' database;
    job-3 waits for every answer."""
    street.place()
    street.settle()
    payment.charge(Context("job-2", "order", "charge_card"), 2, 888, "tok_ok")
    street.place("job-3", asks_customer=True)
    return street


def take(service: str, message: Message) -> tuple[Any, list[Any]]:
    house: Any = House(SERVICES, lambda: None)  # type: ignore[arg-type, return-value]
    with capture_logs() as lines:
        claimed = house.take(BY_NAME[service], message.to_bytes())
    return claimed, [line for line in lines if line["event"] == "event_quarantined"]


@pytest.mark.parametrize("how", SIGNED)
def test_given_each_forged_event_when_it_comes_then_nothing_changes_and_it_is_told_of(
    busy: Street, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, (sign, why) = books(busy), SIGNED[how]
    for name, (reader, event) in TABLE.items():
        claimed, lines = take(reader, sign(event, monkeypatch))
        assert claimed is None, name
        assert [(line["log_level"], line["why"], line["service"]) for line in lines] == [
            ("warning", why, reader)
        ], name
    busy.settle()
    assert {letter.kind for service in NAMES for letter in busy.letters(service)} == {why}
    assert sum(len(busy.letters(service)) for service in NAMES) == len(TABLE)
    after = books(busy)
    assert (after["mails"], after["phases"]) == (before["mails"], ["completed", "placed"])
    assert [(charge["key"], charge["state"]) for charge in after["bank"]["charges"]] == [
        ("job-1:charge_card::action", "settled"),
        ("job-2:charge_card::action", "settled"),
        ("job-3:charge_card::action", "settled"),
    ]
    assert busy.confirm("job-3") > 0  # the true answers came in
    busy.settle()
    assert busy.phase("job-3") == "completed"


@pytest.mark.parametrize(
    "change",
    [
        {"data": {"reason": "x", "amount_cents": 999999}},
        {"job": "job-1"},
        {"kind": "OrderConfirmed"},
        {"id": "job-8:OrderGivenUp"},
        {"causation": "other"},
        {"at": "2000-01-01T00:00:00+00:00"},
        {"by": "inventory"},
        {"by": None},
    ],
)
def test_given_a_true_event_that_was_altered_when_it_comes_then_it_is_not_believed(
    street: Street, change: dict[str, Any]
) -> None:
    street.place("job-9", card="tok_declined")
    street.send_all()
    while ("OrderGivenUp", "inventory") not in street.under_way():
        street.deliver()
        street.send_all()
    body = next(
        b
        for s, b in street.bus.on_the_way
        if s.name == "inventory" and Message.from_bytes(b).kind == "OrderGivenUp"
    )
    true = Message.from_bytes(body)
    assert trust.believed(body, "inventory", SERVICES) == true
    with pytest.raises(NoEvent):
        trust.believed(replace(true, **change).to_bytes(), "inventory", SERVICES)
    stolen = replace(true, signatures=dict.fromkeys(NAMES, true.signatures["inventory"]))
    with pytest.raises(trust.NotBelieved, match="does not fit"):
        trust.believed(stolen.to_bytes(), "payments", SERVICES)  # made for another reader


def test_given_a_secret_that_is_changed_when_both_are_accepted_then_events_of_both_are_believed(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    def say(secret: str, also: str = "") -> None:
        monkeypatch.setenv("SUREFOOT_EVENTS_SECRET", secret)
        monkeypatch.setenv("SUREFOOT_EVENTS_SECRET_ALSO", also)

    street.place()
    street.send_all()
    (reader, of_old), *_ = street.bus.on_the_way
    say(STRANGE)
    with pytest.raises(trust.NotBelieved, match="does not fit"):
        trust.believed(of_old, reader.name, SERVICES)
    say(STRANGE, SECRET)
    trust.believed(of_old, reader.name, SERVICES)
    street.settle()
    assert street.phase() == "completed"
    say("")
    with pytest.raises(SettingsError, match="SUREFOOT_EVENTS_SECRET"):
        trust.secrets()
    with pytest.raises(SystemExit, match="SUREFOOT_EVENTS_SECRET"):
        serve()


def test_given_every_kind_of_event_then_it_has_one_owner() -> None:
    for kind in KNOWN:
        assert owner_of(forged(kind, service="mail")) in NAMES, kind
    assert owner_of(forged("WorkWaived", service=["mail"])) is None
    assert owner_of(forged("Made up")) is None


@pytest.mark.parametrize(
    "more",
    [
        {"by": "nobody"},
        {"by": 3},
        {"signatures": []},
        {"signatures": {"mail": "x"}},
        {"signatures": {"x": "0" * 64}},
    ],
)
def test_given_signatures_of_another_shape_when_read_then_no_event(more: dict[str, Any]) -> None:
    body = json.loads(forged("OrderCompleted").to_bytes())
    assert Message.from_bytes(json.dumps(body).encode()).kind == "OrderCompleted"
    with pytest.raises(NoEvent):
        Message.from_bytes(json.dumps(body | more).encode())


def test_given_a_flood_of_forged_events_when_refused_then_all_are_counted_and_letters_are_bounded(
    street: Street, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "QUARANTINED_MOST", 3)
    assert list(doctor_events(Settings(home=home))) == []
    metrics.start(home)
    try:
        for number in range(5):
            take("mail", forged("OrderShipped", f"nobody-{number}"))
    finally:
        stop()
    assert len(street.letters("mail")) == 3
    (finding,) = doctor_events(Settings(home=home))
    assert (finding.about, finding.level.name) == ("events", "WARN")
    assert "refused 5 messages on the topic exchange: 5 not signed" in finding.said
