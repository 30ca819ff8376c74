"""The choreographed order in one process: a bus that a test has in its hands, and a bank that does what it is told."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import event, select

from surefoot import Context, NothingSent, Rejected
from surefoot.workers.sagas.order import ledger
from surefoot.workers.sagas.order.models import OrderRequest
from surefoot.workers.sagas.order.services import bank_book
from surefoot.workers.sagas.order.services.bank_client import (
    BankCharge,
    BankUnclear,
    Book,
    KeyVoided,
)
from surefoot.workers.sagas.order_choreographed import trust
from surefoot.workers.sagas.order_choreographed.desk import inbox, letters, outbox
from surefoot.workers.sagas.order_choreographed.events import Message
from surefoot.workers.sagas.order_choreographed.service import Service
from surefoot.workers.sagas.order_choreographed.services import SERVICES, orders, payments

BY_NAME = {service.name: service for service in SERVICES}
SECRET = "secret-of-the-services-in-these-tests"
DATABASES = [*(service.database for service in SERVICES), bank_book.database]


def hasten() -> None:
    """A crash of the machine is not what these tests are about, so SQLite need not wait for the disk."""

    def no_sync(connection: sqlite3.Connection, record: object) -> None:
        connection.execute("PRAGMA synchronous = OFF")

    for database in DATABASES:
        engine = database.engine()
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", no_sync)
            engine.dispose()


@dataclass
class Bank:
    """The bank's own book without HTTP. `before` and `after` are called around each question: they may raise, or do other things."""

    before: Callable[[str], None] = lambda key: None
    after: Callable[[str], None] = lambda key: None

    def charge(self, ctx: Context, amount_cents: int, card: str) -> BankCharge:
        self.before(ctx.key)
        entry = bank_book.charge(ctx.key, amount_cents, card, approved=card != "tok_declined")
        self.after(ctx.key)
        if entry.state == "declined":
            raise Rejected("The bank declined the card.")
        if entry.state != "settled":
            raise KeyVoided
        return BankCharge.model_validate(entry.public())

    def void(self, ctx: Context) -> BankCharge:
        self.before(ctx.action_key)
        entry = bank_book.void(ctx.action_key)
        self.after(ctx.action_key)
        return BankCharge.model_validate(entry.public())

    def book(self) -> Book:
        return Book.model_validate(bank_book.book())

    def look(self, key: str, timeout_s: float | None = None) -> BankCharge | None:
        entry = bank_book.look(key)
        return None if entry is None else BankCharge.model_validate(entry.public())


def away(key: str) -> None:
    """For `Bank.before`: it cannot be reached."""
    raise NothingSent("The bank cannot be reached.")


def silent(key: str) -> None:
    """For `Bank.after`: it did what was asked for, and its answer is lost."""
    raise BankUnclear("the bank did not answer")


@dataclass
class Bus:
    """What was sent and has not arrived. `copies(message)`: how many of it arrive at each listener."""

    copies: Callable[[Message], int] = lambda message: 1
    on_the_way: list[tuple[Service, bytes]] = field(default_factory=list)

    def send(self, messages: Sequence[Message]) -> None:
        for message in messages:
            for service in SERVICES:
                if message.kind in service.listens_to:
                    self.on_the_way += [(service, message.to_bytes())] * self.copies(message)


class Street:
    """The four services, driven by hand."""

    def __init__(self) -> None:
        self.bus = Bus()

    def place(self, job: str = "job-1", *, asks_customer: bool = False, **fields: Any) -> None:
        ctx, o = Context(job, "order_choreographed", "place_order"), request_of(**fields)
        orders.place(
            ctx,
            o.model_copy(update={"card": payments.keep_card(ctx, o.card)}),
            asks_customer=asks_customer,
        )

    def confirm(self, job: str = "job-1") -> int:
        return orders.confirm(Context(job, "order_choreographed", "confirm_order"))

    def withdraw(self, job: str = "job-1") -> Any:
        return orders.withdraw(Context(job, "order_choreographed", "place_order", kind="undo"))

    def send_all(self) -> None:
        for service in SERVICES:
            service.send(self.bus.send)

    def deliver(self, number: int = 0, *, handle: bool = True) -> None:
        service, body = self.bus.on_the_way.pop(number)
        claimed = service.arrive(trust.believed(body, service.name, SERVICES))
        if claimed is not None and handle:
            service.handle(claimed)

    def deliver_kind(self, kind: str, to: str, *, keep: bool = False) -> None:
        """The first message of this kind for this service. `keep`: it will come once more."""
        for number, (service, body) in enumerate(self.bus.on_the_way):
            if service.name == to and Message.from_bytes(body).kind == kind:
                if keep:
                    self.bus.on_the_way.append((service, body))
                return self.deliver(number)
        raise AssertionError(f"no {kind} is on its way to {to}: {self.under_way()}")

    def under_way(self) -> list[tuple[str, str]]:
        return [
            (Message.from_bytes(body).kind, service.name) for service, body in self.bus.on_the_way
        ]

    def work_due(self) -> int:
        count = 0
        for service in SERVICES:
            if claimed := service.take_over():
                service.handle(claimed)
                count += 1
        return count

    def settle(self, rounds: int = 60) -> None:
        """Send and deliver until nothing is under way any more."""
        for _ in range(rounds):
            self.send_all()
            if not self.bus.on_the_way:
                return
            while self.bus.on_the_way:
                self.deliver()
        raise AssertionError(f"still under way: {self.under_way()}")

    def phase(self, job: str = "job-1") -> str | None:
        found = orders.standing(job)
        return found.phase if found else None

    def said(self, service: str, job: str = "job-1") -> list[str]:
        with BY_NAME[service].database.snapshot() as tx:
            query = (
                select(outbox.c.kind)
                .where(outbox.c.job == job, outbox.c.service == service)
                .order_by(outbox.c.at)
            )
            return list(tx.execute(query).scalars())

    def heard(self, service: str, job: str = "job-1") -> dict[str, str]:
        with BY_NAME[service].database.snapshot() as tx:
            query = select(inbox.c.kind, inbox.c.state).where(
                inbox.c.job == job, inbox.c.service == service
            )
            return {row.kind: row.state for row in tx.execute(query)}

    def letters(self, service: str) -> list[Any]:
        with BY_NAME[service].database.snapshot() as tx:
            return list(
                tx.execute(
                    select(letters).where(letters.c.service == service).order_by(letters.c.id)
                )
            )

    def violations(self, *, settled: bool) -> list[str]:
        return ledger.draw_up(ledger.read_books(), settled=settled).violations


def request_of(**fields: Any) -> OrderRequest:
    usual = {
        "customer": "Ada",
        "email": "ada@example.org",
        "sku": "apple",
        "quantity": 3,
        "amount_cents": 1250,
        "card": "tok_ok",
    }
    return OrderRequest(**{**usual, **fields})
