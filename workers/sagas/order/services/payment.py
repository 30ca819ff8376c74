"""The payment service: it charges cards at the bank, and remembers what it asked for before it
asks.

The bank is remote, so no transaction covers both. Three moves, each safe to repeat: the intent is
committed behind the barrier; the bank is called with the effect's key; the result is committed. A
crash between them leaves an intent without result, which says "unknown": a repeat asks the bank
again under the same key and gets the same charge.

An undo shuts the barrier first, so that no later attempt here begins or records the charge, and
then voids the key at the bank, always. The bank refunds what was charged and refuses what still
comes: a worker that froze between intent and call cannot take the money afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    Integer,
    MetaData,
    String,
    Table,
    insert,
    select,
    update,
)

from surefoot import (
    NEVER,
    ActionUndone,
    Context,
    EffectReport,
    EffectState,
    Happened,
    Probed,
    Rejected,
    barrier,
    barrier_table,
)
from surefoot.workers.sagas.order.models import Charge, Refund
from surefoot.workers.sagas.order.services import bank_client
from surefoot.workers.sagas.order.services.bank_client import BankCharge, BankUnclear
from surefoot.workers.sagas.order.services.database import ServiceDatabase, insert_or

metadata = MetaData()
barrier_table(metadata)

charges = Table(
    "charges",
    metadata,
    Column("key", String(255), primary_key=True),
    Column("job", String(64), nullable=False, index=True),
    Column(
        "order_id", Integer
    ),  # null: undone before the action ever began, so nobody said which order
    Column("amount_cents", BigInteger, nullable=False),
    Column("charge_id", String(64)),  # the bank's, once it has answered
    Column("state", String(10), nullable=False),
    CheckConstraint("amount_cents > 0", name="amount_positive"),
    CheckConstraint(
        "state in ('intent', 'settled', 'declined', 'refunded', 'void')", name="state_known"
    ),
)

database = ServiceDatabase("payment", metadata)


@dataclass(frozen=True)
class ChargeRow:
    """A charge as the payment service remembers it."""

    key: str
    job: str
    order_id: int | None
    amount_cents: int
    state: str


def charge(ctx: Context, order_id: int, amount_cents: int, card: str) -> Charge:
    """Charge a card once.

    Raises: Rejected when the bank says no; ActionUndone when the undo came first; NothingSent when
    the bank was not reached; BankUnclear when it did not answer: the outcome is unknown.
    """
    with database.transaction() as tx, barrier(tx, ctx) as first:
        if first:
            row = {
                "key": ctx.key,
                "job": ctx.job_id,
                "order_id": order_id,
                "amount_cents": amount_cents,
                "state": "intent",
            }
            tx.execute(insert(charges).values(row))
        elif first.result is not None:
            return Charge.model_validate(first.result)
    try:
        answer = bank_client.charge(ctx, amount_cents, card)
    except bank_client.KeyVoided as error:
        raise ActionUndone(key=ctx.key) from error
    except Rejected:
        with database.transaction() as tx:
            _move(tx, ctx.key, "intent", state="declined")
        raise
    return _settle(ctx, answer)


def _settle(ctx: Context, answer: BankCharge) -> Charge:
    result = _as_result(answer)
    with (
        database.transaction() as tx,
        barrier(tx, ctx) as again,
    ):  # refuses when an undo has come meanwhile
        _move(tx, ctx.key, "intent", state="settled", charge_id=result.charge_id)
        again.keep(result.model_dump(mode="json"))
    return result


def find(ctx: Context) -> Probed:
    """The probe: what does the bank say of this charge? NEVER lets the engine try again under the
    same key.

    What is found before a repeat stands in for the action, so it is recorded like the action's own
    result; what is found before an undo is only told, for the undo records how it ends.
    """
    answer = bank_client.look_for(ctx)
    if answer is None or answer.state != "settled":
        return NEVER
    _must_be(answer, _intended(ctx.action_key))
    try:
        return Happened(_settle(ctx, answer) if ctx.kind == "action" else _as_result(answer))
    except ActionUndone:  # its undo is shut in already, and the money on its way back
        return NEVER


def refund(ctx: Context, amount_cents: int) -> Refund:
    """Give the money back once, or see that it can never be taken.

    `amount_cents`: the price that was to be charged.
    """
    with database.transaction() as tx, barrier(tx, ctx) as first:
        if first.result is not None:
            return Refund.model_validate(first.result)
    answer = bank_client.void(ctx)
    if answer.state == "refunded":
        _must_be(answer, amount_cents)
    result = Refund(state=answer.state, refunded_cents=answer.refunded_cents)
    with database.transaction() as tx, barrier(tx, ctx) as again:
        row = {
            "key": ctx.action_key,
            "job": ctx.job_id,
            "amount_cents": amount_cents,
            "state": answer.state,
        }
        upsert = insert_or(tx, charges).values(row)
        tx.execute(
            upsert.on_conflict_do_update(
                index_elements=[charges.c.key], set_={"state": answer.state}
            )
        )  # two undos may race
        again.keep(result.model_dump(mode="json"))
    return result


def _intended(key: str) -> int | None:
    """The amount that was to be charged under this key, as it was put on record before the bank was
    asked.
    """
    with database.snapshot() as tx:
        return tx.execute(
            select(charges.c.amount_cents).where(charges.c.key == key)
        ).scalar_one_or_none()


def _must_be(answer: BankCharge, amount_cents: int | None) -> None:
    """Raises: BankUnclear for money that was not asked for."""
    if amount_cents is not None and answer.amount_cents != amount_cents:
        raise BankUnclear("the bank answered for another amount")


def all_charges() -> list[ChargeRow]:
    """Every charge that was ever intended, by key."""
    columns = (
        charges.c.key,
        charges.c.job,
        charges.c.order_id,
        charges.c.amount_cents,
        charges.c.state,
    )
    with database.snapshot() as tx:
        return [ChargeRow(*row) for row in tx.execute(select(*columns).order_by(charges.c.key))]


def seen(keys: Iterable[str]) -> list[EffectReport]:
    """What became of these charges, in the bank's word: it is the bank that has the money."""
    return [_seen(entry) for key in keys if (entry := bank_client.look(key))]


def seen_between(first: str, last: str) -> list[EffectReport]:
    """Every charge the bank has under a key in between, from any caller."""
    return [_seen(entry) for entry in bank_client.book().charges if first < entry.key < last]


def _seen(entry: BankCharge) -> EffectReport:
    states = {"settled": EffectState.DONE, "refunded": EffectState.UNDONE}
    charged = entry.amount_cents if entry.state in states else 0
    money = {"state": entry.state, "charged_cents": charged, "refunded_cents": entry.refunded_cents}
    return EffectReport(entry.key, states.get(entry.state, EffectState.NONE), money)


def _move(tx: Connection, key: str, before: str, **values: str) -> bool:
    """Change a charge's row when it is in the state `before`.

    Returns: whether there was such a row.
    """
    where = (charges.c.key == key) & (charges.c.state == before)
    return (
        tx.execute(update(charges).where(where).values(**values).returning(charges.c.key)).first()
        is not None
    )


def _as_result(answer: BankCharge) -> Charge:
    if answer.charge_id is None:
        raise BankUnclear("the bank settled a charge without naming it")
    return Charge(key=answer.key, charge_id=answer.charge_id, amount_cents=answer.amount_cents)
