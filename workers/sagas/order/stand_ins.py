"""What stands in for the real world while the order saga is drilled: its own databases, a bank in
this process, a mail folder.

All of it is told by the environment, as in production, so workers that are started meanwhile find
it too.
"""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from pathlib import Path
from threading import Thread

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from surefoot import Context
from surefoot.app.environment import variable
from surefoot.workers.sagas.order import ledger
from surefoot.workers.sagas.order.models import OrderRequest
from surefoot.workers.sagas.order.services import inventory, mail, payment
from surefoot.workers.sagas.order.services import order as orders
from surefoot.workers.sagas.order.services.bank import create_bank
from surefoot.workers.sagas.order.services.database import close_databases

STOCK = 1_000_000  # of each article: no drill runs out of it
HOST = "127.0.0.1"
POLL_S = 0.01  # how soon the bank's thread sees that it shall end


SERVICES = ("order", "inventory", "payment", "bank")


@contextmanager
def stand_ins() -> Iterator[StandIns]:
    """The test environment of the order saga, from a shelf that has just been filled to a folder
    that is gone.
    """
    with tempfile.TemporaryDirectory(prefix="surefoot-order-") as name:
        folder, bank = Path(name), InProcessBank()
        databases = {
            variable(f"{service}_database_url"): f"sqlite:///{folder / service}.sqlite"
            for service in SERVICES
        }
        with environment(databases | {"SUREFOOT_MAIL": str(folder / "mail")}):
            bank.open()
            try:
                for sku in inventory.SEED:
                    inventory.set_initial(sku, STOCK)
                with environment({"SUREFOOT_BANK_URL": bank.url}):
                    yield StandIns(bank)
            finally:
                bank.close()
                close_databases()


@contextmanager
def with_an_order(order_ref: str) -> Iterator[StandIns]:
    """The same world, where an order of this name was placed, paid, shipped and receipted before."""
    o = OrderRequest(
        customer="Ada",
        email="ada@example.org",
        sku="apple",
        quantity=2,
        amount_cents=1250,
        card="tok_ok",
        order_ref=order_ref,
    )

    def ctx(step: str) -> Context:
        return Context(job_id="placed-before", saga="order", step=step)

    with stand_ins() as world:
        order_id = orders.create(ctx("create_order"), o).order_id
        reserved = inventory.reserve_now(ctx("reserve_stock"), order_id, o.sku, o.quantity)
        orders.confirm(
            ctx("confirm_order"),
            reserved,
            payment.charge(ctx("charge_card"), order_id, o.amount_cents, o.card),
        )
        inventory.ship(ctx("ship_order"), reserved.reservation)
        mail.send_receipt(ctx("send_receipt"), o)
        yield world


class StandIns:
    """What a drill and the saga's invariants may ask of this world."""

    def __init__(self, bank: InProcessBank) -> None:
        self.bank = bank

    def outage(self, service: str) -> AbstractContextManager[None] | None:
        """Take a service away for a while; None where that cannot be done."""
        return self.bank.outage() if service == "payments" else None

    def snapshot(self) -> dict[str, object]:
        """What an order that was undone leaves as it was: the shelf."""
        return {"shelf": {row.sku: asdict(row) for row in inventory.all_stock()}}

    def disagreements(self, *, settled: bool) -> list[str]:
        """What the books of all services and the bank say against each other.

        `settled`: no order is under way.
        """
        return ledger.draw_up(ledger.read_books(), settled=settled).violations


class InProcessBank:
    """The bank, served by a thread of this process.

    It keeps its port, so that it comes back under the same URL.
    """

    def __init__(self) -> None:
        self._server: BaseWSGIServer | None = None
        self._serving: Thread | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._port}"

    def open(self) -> None:
        """Answer from now on, on a free port the first time."""
        self._server = make_server(
            HOST, self._port, create_bank(), threaded=True, request_handler=Quiet
        )
        self._port = self._server.server_port
        self._serving = Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": POLL_S},
            name="bank",
            daemon=True,
        )
        self._serving.start()

    def close(self) -> None:
        """Refuse every connection from now on."""
        if self._server is not None and self._serving is not None:
            self._server.shutdown()
            # the thread closes the socket itself; only when it has ended is the port free
            self._serving.join()
            self._server = self._serving = None

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Nobody listens."""
        self.close()
        with socket.socket() as held:  # bound and deaf: nobody else is given the port meanwhile
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.bind((HOST, self._port))
            try:
                yield
            finally:
                self.open()


class Quiet(WSGIRequestHandler):
    """No line for each request."""

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - werkzeug's name
        return None


@contextmanager
def environment(told: Mapping[str, str]) -> Iterator[None]:
    """Have these variables in the environment for a while."""
    before = {name: os.environ.get(name) for name in told}
    os.environ.update(told)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
