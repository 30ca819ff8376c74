"""The whole choreography under seeded schedules: a bus that drops, repeats and reorders, processes that die at any moment.

First the faults, then peace: every order ends, and the books agree all the while. A seed replays its schedule.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import update

from surefoot import NothingSent, Rejected
from surefoot.app.clock import ago
from surefoot.workers.sagas.order.services import inventory
from surefoot.workers.sagas.order.services.bank_client import BankUnclear
from surefoot.workers.sagas.order_choreographed import desk
from surefoot.workers.sagas.order_choreographed.events import Message
from surefoot.workers.sagas.order_choreographed.services import SERVICES, order_flows, orders
from tests.support.choreography import BY_NAME, Bank, Street

pytestmark = pytest.mark.slow

STEPS = 20  # for each order
PEACE_ROUNDS = 80
MAX_DEPTH = 2


class Killed(BaseException):
    """The process is gone; what it had committed stays."""


def time_is_up() -> None:
    """Every order that is only placed is past its time: its deadline is moved, for the database's clock cannot be."""
    with orders.database.transaction() as tx:
        tx.execute(
            update(order_flows.flows)
            .where(order_flows.flows.c.phase == "placed")
            .values(answer_by=ago(1))
        )


class Schedule:
    """One schedule. The bank's answer may take so long that other things happen meanwhile, in the middle of a handler."""

    def __init__(self, seed: int, street: Street, bank: Bank) -> None:
        self.random, self.street, self.bank = random.Random(seed), street, bank
        self.jobs = [f"seed{seed}-{n}" for n in range(2 if seed % 4 == 0 else 1)]
        self.unplaced = list(self.jobs)
        self.faults, self.depth = True, 0
        self.told: list[str] = []
        street.bus.copies = lambda message: (
            self.random.choice((0, 1, 1, 1, 2, 3)) if self.faults else 1
        )
        bank.before, bank.after = self._before_the_bank, self._after_the_bank

    def step(self) -> None:
        moves = (
            [self._deliver] * 6
            + [self._send] * 4
            + [self._work, self._ask, self._place, self._withdraw, self._late]
        )
        move = self.random.choice(moves)
        self.told.append(f"{'  ' * self.depth}{move.__name__}")
        try:
            move()
        except Killed:
            self.told.append("killed")

    def peace(self) -> None:
        self.faults = False
        for _ in range(PEACE_ROUNDS):
            if not self.unplaced and {orders.standing(job).phase for job in self.jobs} <= {
                "completed",
                "voided",
                "never",
            }:  # type: ignore[union-attr]
                return
            while self.unplaced:
                self._place()
            orders.remind()
            self.street.work_due()
            self.street.send_all()
            while self.street.bus.on_the_way:
                self.street.deliver()
        raise AssertionError(
            f"not all landed: {[(job, orders.standing(job)) for job in self.jobs]}"
        )

    # --- what may happen ----------------------------------------------------------------------------------------------
    def _place(self) -> None:
        if self.unplaced:
            job = self.unplaced[-1]
            card = self.random.choice(("tok_ok", "tok_ok", "tok_ok", "tok_declined"))
            sku = self.random.choice(("apple", "apple", "pear", "no-such"))
            with self._dying():
                self.street.place(job, card=card, sku=sku)
                self.unplaced.remove(job)  # else it is placed again, as the engine does it

    def _withdraw(self) -> None:
        placed = [job for job in self.jobs if job not in self.unplaced]
        if placed and self.random.random() < 0.3:
            try:
                self.street.withdraw(self.random.choice(placed))
            except Rejected:
                self.told.append("too late")

    def _late(self) -> None:
        """The clock says that an order has waited long enough."""
        if self.random.random() < 0.2:
            time_is_up()
            orders.give_up_late()

    def _deliver(self) -> None:
        if self.street.bus.on_the_way:
            with self._dying():
                self.street.deliver(
                    self.random.randrange(len(self.street.bus.on_the_way)),
                    handle=self.random.random() > 0.1,
                )

    def _send(self) -> None:
        with self._dying():
            self.random.choice(SERVICES).send(self.street.bus.send)

    def _work(self) -> None:
        with self._dying():
            service = self.random.choice(SERVICES)
            if claimed := service.take_over():
                service.handle(claimed)

    def _ask(self) -> None:
        orders.ask_again()

    # --- what may go wrong --------------------------------------------------------------------------------------------
    @contextmanager
    def _dying(self) -> Iterator[None]:
        """Now and then the process dies just before or in the middle of a commit that ends something."""
        if not self.faults or self.depth or self.random.random() > 0.15:
            yield
            return
        name = self.random.choice(("handled", "say", "mark_sent"))
        real = getattr(desk, name)

        def dies(*args: Any, **named: Any) -> Any:
            if self.random.random() < 0.5:
                real(*args, **named)
            raise Killed

        setattr(desk, name, dies)
        try:
            yield
        finally:
            setattr(desk, name, real)

    def _before_the_bank(self, key: str) -> None:
        self._meanwhile()
        if self.faults and self.random.random() < 0.15:
            raise NothingSent("the bank cannot be reached")

    def _after_the_bank(self, key: str) -> None:
        self._meanwhile()
        if self.faults and self.random.random() < 0.25:
            raise BankUnclear("no answer")

    def _meanwhile(self) -> None:
        if self.faults and self.depth < MAX_DEPTH and self.random.random() < 0.3:
            self.depth += 1
            for _ in range(self.random.randrange(4)):
                self.step()
            self.depth -= 1


def run(seed: int, street: Street, bank: Bank) -> None:
    schedule = Schedule(seed, street, bank)
    try:
        for _ in range(STEPS * len(schedule.jobs)):
            schedule.step()
            if schedule.random.random() < 0.15:
                assert street.violations(settled=False) == []
        assert street.violations(settled=False) == []
        schedule.peace()
        street.bus.on_the_way.clear()
        assert street.violations(settled=True) == []
        for name, service in BY_NAME.items():
            with service.database.snapshot() as tx:
                assert [row for row in desk.open_letters(tx, name) if row.needs_person] == []
    except AssertionError as error:
        raise AssertionError(f"seed {seed}: {error}\n" + "\n".join(schedule.told)) from error


BATCHES = [range(25)]
LONG_BATCHES = [range(25, 75), range(75, 125), range(125, 200)]


@pytest.mark.parametrize(
    "seeds",
    [
        *BATCHES,
        *(
            pytest.param(batch, marks=[pytest.mark.long, pytest.mark.timeout(900)])
            for batch in LONG_BATCHES
        ),
    ],
    ids=str,
)
def test_given_any_schedule_of_faults_when_peace_returns_then_every_order_has_landed(
    seeds: range, street: Street, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUREFOOT_EVENTS_PATIENT_ATTEMPTS", "1000")
    inventory.set_initial("pear", len(seeds) // 2)  # not enough for all of them
    for seed in seeds:
        run(seed, street, bank)


def test_given_the_bus_of_a_schedule_when_it_drops_everything_for_ever_then_nothing_lands(
    street: Street,
) -> None:
    """The simulation can fail: without a bus the order stands where it was."""
    street.bus.copies = lambda message: 0
    street.place()
    for _ in range(10):
        orders.ask_again()
        street.send_all()
    assert street.phase() == "placed"
    assert [Message.from_bytes(body).kind for _, body in street.bus.on_the_way] == []
