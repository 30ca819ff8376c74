"""Do the books agree? Read from the three services, the bank and the mail folder; the engine is
never asked.

The books are read one after the other while orders go on, so the order of reading matters. An
order's end is read first: what was voided then stays as it is, and everything of it must already be
settled when it is read later. Orders are read once more at the end: a charge seen in between has
its order there, or has none.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from surefoot.workers.sagas.order.services import bank_client, inventory, mail, payment
from surefoot.workers.sagas.order.services import order as orders
from surefoot.workers.sagas.order.services.inventory import ReservationRow, StockRow
from surefoot.workers.sagas.order.services.order import ChangeRow, OrderRow


@dataclass(frozen=True)
class LedgerLine:
    """One order, its changes included, in all books.

    `state`: pending, confirmed, shipped or voided; `receipts`: None when nobody can tell.
    """

    job: str
    order_id: int
    state: str
    charged_cents: int
    refunded_cents: int
    charges: int
    refunds: int
    reserved: int
    shipped: int
    receipts: int | None


@dataclass(frozen=True)
class Ledger:
    """All books side by side. `violations`: sentences, none when the books agree."""

    orders: list[LedgerLine]
    stock: dict[str, dict[str, int]]
    violations: list[str] = field(default_factory=list)

    @property
    def consistent(self) -> bool:
        return not self.violations

    def to_json(self) -> dict[str, Any]:
        """As `surefoot ledger --json` prints it."""
        return {**asdict(self), "consistent": self.consistent}


@dataclass(frozen=True)
class Books:
    """What was read, in the order of reading; see the module's docstring."""

    orders_first: list[OrderRow]
    shelf: list[StockRow]
    reservations: list[ReservationRow]
    payments: list[payment.ChargeRow]
    bank: bank_client.Book
    receipts: Counter[str] | None
    orders_last: list[OrderRow]
    changes_first: list[ChangeRow] = field(default_factory=list)
    changes_last: list[ChangeRow] = field(default_factory=list)


def read_books() -> Books:
    """Ask everybody. Raises: NothingSent or BankUnclear when the bank cannot be asked."""
    first, changes_first = orders.read_all()
    shelf, reservations = inventory.read_all()
    payments, bank, receipts = payment.all_charges(), bank_client.book(), mail.receipts_by_job()
    last, changes_last = orders.read_all()
    return Books(
        first, shelf, reservations, payments, bank, receipts, last, changes_first, changes_last
    )


def draw_up(books: Books, *, settled: bool = False) -> Ledger:
    """Compare the books.

    `settled`: nothing is under way any more, so an open order is a violation too.
    """
    first = {row.id: row for row in books.orders_first}
    lines: list[LedgerLine] = []
    wrong: list[str] = [*_shelf_faults(books)]
    by_job = _by_job(books)
    changes: defaultdict[int, list[ChangeRow]] = defaultdict(list)
    for change in books.changes_last:
        changes[change.order_id].append(change)
    ended = _ended_changes(books, by_job)
    for row in books.orders_last:
        parts = _parts(row, changes[row.id], by_job)
        line = _line(first.get(row.id), row, _whole(parts), books.receipts)
        lines.append(line)
        wrong += _price_faults(row, line, parts)
        if all(change.job in ended for change in changes[row.id]):
            wrong += _order_faults(row, line, parts, settled=settled)
        elif settled:
            wrong.append(f"Order {row.id} (job {row.job}) is still being changed.")
    wrong += _orphans(
        {row.job for row in books.orders_last} | {change.job for change in books.changes_last},
        by_job,
    )
    stock = {
        s.sku: {"initial": s.initial, "on_hand": s.on_hand, "reserved": s.reserved, "sold": s.sold}
        for s in books.shelf
    }
    return Ledger(lines, stock, wrong)


@dataclass
class _OfJob:
    """What the books have of one job."""

    charges: list[int] = field(default_factory=list)  # amounts
    refunds: list[int] = field(default_factory=list)
    reservations: list[ReservationRow] = field(default_factory=list)
    payment_states: list[str] = field(default_factory=list)


def _by_job(books: Books) -> defaultdict[str, _OfJob]:
    found: defaultdict[str, _OfJob] = defaultdict(_OfJob)
    for movement in books.bank.movements:
        of_job = found[movement.key.split(":")[0]]
        (of_job.charges if movement.kind == "charge" else of_job.refunds).append(
            movement.amount_cents
        )
    for reservation in books.reservations:
        found[reservation.job].reservations.append(reservation)
    for charge in books.payments:
        found[charge.job].payment_states.append(charge.state)
    return found


@dataclass(frozen=True)
class _Part:
    """An order or a change of it: its job, what it costs, and what the books have of it."""

    job: str
    price_cents: int
    books: _OfJob


def _parts(
    row: OrderRow, changes: Iterable[ChangeRow], by_job: Mapping[str, _OfJob]
) -> list[_Part]:
    """The order's own part first.

    Its row has the price of the whole, changes that were made included.
    """
    changed = [_Part(change.job, change.amount_cents, by_job[change.job]) for change in changes]
    on_top = sum(change.amount_cents for change in changes if change.state == "made")
    return [_Part(row.job, row.amount_cents - on_top, by_job[row.job]), *changed]


def _whole(parts: Iterable[_Part]) -> _OfJob:
    whole = _OfJob()
    for part in parts:
        whole.charges += part.books.charges
        whole.refunds += part.books.refunds
        whole.reservations += part.books.reservations
        whole.payment_states += part.books.payment_states
    return whole


def _ended_changes(books: Books, by_job: Mapping[str, _OfJob]) -> set[str]:
    """Jobs of changes that had nothing under way when the other books were read: dropped before, or
    made and shipped.
    """
    return {
        change.job
        for change in books.changes_first
        if change.state == "dropped"
        or (
            change.state == "made"
            and not any(r.state == "held" for r in by_job[change.job].reservations)
        )
    }


def _line(
    first: OrderRow | None, last: OrderRow, of_job: _OfJob, receipts: Mapping[str, int] | None
) -> LedgerLine:
    amounts: Counter[str] = Counter()
    for reservation in of_job.reservations:
        amounts[reservation.state] += reservation.quantity
    return LedgerLine(
        job=last.job,
        order_id=last.id,
        state=_state(first, last, amounts["shipped"]),
        charged_cents=sum(of_job.charges),
        refunded_cents=sum(of_job.refunds),
        charges=len(of_job.charges),
        refunds=len(of_job.refunds),
        reserved=amounts["held"],
        shipped=amounts["shipped"],
        receipts=None if receipts is None else receipts.get(last.job, 0),
    )


def _state(first: OrderRow | None, last: OrderRow, shipped: int) -> str:
    """Voided only when it was so before the other books were read; else what was read of them may
    be half way there.
    """
    if first is not None and first.state == "voided":
        return "voided"
    if last.state == "confirmed":
        # Goods leave through inventory, so it is inventory that knows whether a confirmed order has
        # been shipped.
        return "shipped" if shipped else "confirmed"
    return first.state if first is not None else "pending"


def _price_faults(row: OrderRow, line: LedgerLine, parts: Iterable[_Part]) -> Iterator[str]:
    """The order and each of its changes: charged once at most, its price, and given back once at
    most.
    """
    for part in parts:
        name = (
            f"Order {line.order_id} (job {line.job})"
            if part.job == row.job
            else f"A change of order {line.order_id} (job {part.job})"
        )
        charged, refunded = sum(part.books.charges), sum(part.books.refunds)
        if len(part.books.charges) > 1:
            yield f"{name} was charged {len(part.books.charges)} times."
        if any(amount != part.price_cents for amount in part.books.charges):
            yield f"{name} costs {part.price_cents} cents, but {charged} were charged."
        if len(part.books.refunds) > 1 or refunded > charged:
            yield f"{name} got {refunded} cents back in {len(part.books.refunds)} refunds, of {charged} charged."


def _order_faults(
    row: OrderRow, line: LedgerLine, parts: Sequence[_Part], *, settled: bool
) -> Iterator[str]:
    name = f"Order {line.order_id} (job {line.job})"
    net = line.charged_cents - line.refunded_cents
    of_job = _whole(parts)
    if (line.receipts or 0) > 1:
        yield f"{name} got {line.receipts} receipts."
    if line.shipped and line.state != "shipped":
        yield f"{name} is {line.state}, but {line.shipped} were shipped."
    if line.state == "voided":
        yield from _voided_faults(name, line, net, of_job)
    elif line.state == "shipped":
        yield from _shipped_faults(name, row, line, parts)
    if settled and line.state in ("pending", "confirmed"):
        yield f"{name} is still open: {line.state}."
    if settled and line.state == "shipped" and line.receipts == 0:
        yield f"{name} was shipped, but no receipt was sent."


def _voided_faults(name: str, line: LedgerLine, net: int, of_job: _OfJob) -> Iterator[str]:
    if net:
        yield f"{name} is voided, but {net} cents are still charged."
    if line.reserved:
        yield f"{name} is voided, but {line.reserved} are still reserved."
    if line.receipts:
        yield f"{name} is voided, but a receipt was sent."
    if "settled" in of_job.payment_states:
        yield f"{name} is voided, but the payment service believes that it is paid."


def _shipped_faults(
    name: str, row: OrderRow, line: LedgerLine, parts: Sequence[_Part]
) -> Iterator[str]:
    own = parts[0].books
    if not own.charges or own.refunds:
        yield f"{name} was shipped, but its money is not here: {len(own.charges)} charges, {len(own.refunds)} refunds."
    if line.reserved:
        yield f"{name} was shipped, but {line.reserved} are still reserved."
    if line.shipped != row.quantity:
        yield f"{name} is of {row.quantity}, but {line.shipped} were shipped."
    if own.payment_states != ["settled"]:
        yield f"{name} was shipped, but the payment service says: {', '.join(own.payment_states) or 'no charge'}."


def _orphans(known: set[str], by_job: Mapping[str, _OfJob]) -> Iterator[str]:
    for job in sorted(by_job.keys() - known):
        of_job = by_job[job]
        if of_job.charges:
            yield f"Job {job} has no order, but {sum(of_job.charges)} cents were charged."
        if any(r.state != "released" for r in of_job.reservations):
            yield f"Job {job} has no order, but goods are reserved for it."


def _shelf_faults(books: Books) -> Iterator[str]:
    held = _sums(books.reservations, "held")
    sold = _sums(books.reservations, "shipped")
    for row in books.shelf:
        if (
            row.on_hand + row.reserved + row.sold != row.initial
            or min(row.on_hand, row.reserved, row.sold) < 0
        ):
            yield f"{row.sku}: {row.on_hand} on hand, {row.reserved} reserved and {row.sold} sold are not the initial {row.initial}."
        if row.reserved != held[row.sku]:
            yield f"{row.sku}: {row.reserved} are marked as reserved, but reservations hold {held[row.sku]}."
        if row.sold != sold[row.sku]:
            yield f"{row.sku}: {row.sold} are marked as sold, but reservations of {sold[row.sku]} were shipped."


def _sums(reservations: Iterable[ReservationRow], state: str) -> Counter[str]:
    sums: Counter[str] = Counter()
    for reservation in reservations:
        if reservation.state == state:
            sums[reservation.sku] += reservation.quantity
    return sums
