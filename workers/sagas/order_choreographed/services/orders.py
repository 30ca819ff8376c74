"""The orders service: it says what is ordered, and ends what nobody else can end.

    placed ──(reserved and charged)──> confirmed ──(receipt sent)──> completed
       └──(a no, a wish to cancel, no answer in time)──> given_up ──(released and refunded)──> voided

What a person waives counts as answered, and is kept beside the order (`left_undone`): it ends, and
says without what.

It tells nobody what to do, but it is the one that waits: for two answers before it confirms, for
two before it voids. So the join, the deadline and the asking again live here. Every move is one
conditional UPDATE of the order's row in `flows`, whose lock makes two answers that come at once
come one after the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from sqlalchemy import (
    Connection,
    Select,
    select,
    update,
)

from surefoot import ActionUndone, Context, NotYet, Rejected
from surefoot.app.clock import after, now
from surefoot.workers.sagas.order.models import Charge, Created, OrderRequest, Reserved, Voided
from surefoot.workers.sagas.order.services import order as orders
from surefoot.workers.sagas.order.services.database import insert_or
from surefoot.workers.sagas.order_choreographed import desk
from surefoot.workers.sagas.order_choreographed.events import (
    WITHHELD,
    CardCharged,
    CardDeclined,
    CardRefunded,
    Event,
    HelpNeeded,
    OrderCancelRequested,
    OrderCompleted,
    OrderConfirmed,
    OrderGivenUp,
    OrderPlaced,
    OrderVoided,
    ReceiptSent,
    StockRefused,
    StockReleased,
    StockReserved,
    WorkWaived,
    id_of,
)
from surefoot.workers.sagas.order_choreographed.service import Route, Service
from surefoot.workers.sagas.order_choreographed.services.order_flows import (
    WAIVABLE,
    flow_of,
    flows,
    insert_flow,
    left_of,
    left_undone,
    move_flow,
    note_answer,
    phase_of,
)
from surefoot.workers.sagas.order_choreographed.settings import event_settings

PLACE = "place_order"  # the step whose keys name this service's effect: the order itself

database = orders.database
desk.desk_tables(orders.metadata)


@dataclass(frozen=True)
class Standing:
    """Where an order stands. `answered`: goods and money are there for it; `age_s`: seconds since
    it was placed.

    `without`: what a person has decided that it ends without, in a sentence; None when nothing.
    """

    phase: str
    answered: bool
    reason: str | None
    help: str | None
    without: str | None
    age_s: float


# --- what a customer may ask for ------------------------------------------------------------------
def place(ctx: Context, o: OrderRequest, *, asks_customer: bool = False) -> Created:
    """Write an order down and say so. A repeat changes nothing. What stands for its card is a
    reference (`payments.keep_card`).

    `asks_customer`: with both answers here it waits for `confirm`; until then it can be withdrawn.
    Raises: Rejected, as `order.create`; ActionUndone.
    """
    with database.transaction() as tx:
        answer_s = event_settings().answer_seconds
        first = insert_flow(
            tx, ctx.job_id, "placed", asks_customer=asks_customer, answer_by=after(answer_s)
        )
        if not first and phase_of(tx, ctx.job_id) == "never":
            raise ActionUndone(key=ctx.key)
        made = orders.create(ctx, o)
        if first:
            kept = o.model_copy(update={"card": WITHHELD}).model_dump(mode="json")
            move_flow(tx, ctx.job_id, ("placed",), order_id=made.order_id, request=kept)
            _say(tx, ctx.job_id, OrderPlaced(order_id=made.order_id, order=o), None)
        return made


def withdraw(ctx: Context) -> Voided | NotYet | None:
    """The customer does not want it any more: give it up, unless it is confirmed, and wait until
    nothing is left of it.

    Raises: Rejected when it was confirmed first: then it stands; and when a person has waived a
    part of its undo.
    """
    with database.transaction() as tx:
        if insert_flow(tx, ctx.job_id, "never", asks_customer=False):
            return orders.void(ctx)  # its tombstone: an order that comes later is refused
        asked = OrderCancelRequested()
        if move_flow(
            tx, ctx.job_id, ("placed", "confirmed")
        ):  # nobody wishes away what is on its way back already
            desk.say(tx, service.name, ctx.job_id, [asked], None)
        _give_up(tx, ctx.job_id, "The customer cancelled.", id_of(ctx.job_id, asked))
        flow = flow_of(tx, ctx.job_id)
        if flow.phase in ("confirmed", "completed"):
            raise Rejected("The order was confirmed before it was cancelled: it stands.")
        if flow.phase == "given_up":
            return NotYet(after=_poll_s(desk.seconds_since(tx, flow.at)))
        if left := left_of(tx, ctx.job_id):
            raise Rejected(left)
        return None if flow.phase == "never" else Voided(order_id=flow.order_id)


def confirm(ctx: Context) -> int:
    """The customer's last word: from here on the order stands. Returns: its number. A repeat
    changes nothing.

    Raises: Rejected when it was given up before, or somebody has not answered yet.
    """
    with database.transaction() as tx:
        move_flow(tx, ctx.job_id, ("placed",))
        flow = flow_of(tx, ctx.job_id)
        if flow is not None and flow.phase in ("confirmed", "completed"):
            return int(flow.order_id)
        confirmed = _confirm(tx, ctx) if flow is not None else ()
        if not confirmed:
            raise Rejected(
                f"The order cannot be confirmed: {flow.reason if flow is not None and flow.reason else 'it is not answered'}."
            )
        desk.say(tx, service.name, ctx.job_id, confirmed, f"{ctx.job_id}:{CardCharged.__name__}")
        return int(flow.order_id)


def standing(job: str) -> Standing | None:
    """Where an order stands; None when there is none."""
    with database.snapshot() as tx:
        row = tx.execute(select(flows).where(flows.c.job == job)).first()
        if row is None:
            return None
        answered = row.reserved is not None and row.charged is not None
        return Standing(
            row.phase,
            answered,
            row.reason,
            row.help,
            left_of(tx, job),
            desk.seconds_since(tx, row.at),
        )


def look_again(standing: Standing) -> NotYet:
    """When to look again: soon while it is young, rarely when it is old."""
    return NotYet(after=_poll_s(standing.age_s))


# --- what others say ------------------------------------------------------------------------------
def on_reserved(ctx: Context, event: StockReserved) -> Iterable[Event]:
    with database.transaction() as tx:
        note_answer(tx, ctx.job_id, reserved=event.model_dump(mode="json"))
        return _confirm_by_itself(tx, ctx)


def on_charged(ctx: Context, event: CardCharged) -> Iterable[Event]:
    with database.transaction() as tx:
        note_answer(tx, ctx.job_id, charged=event.model_dump(mode="json"))
        return _confirm_by_itself(tx, ctx)


def on_refused(ctx: Context, event: StockRefused | CardDeclined) -> Iterable[Event]:
    with database.transaction() as tx:
        _give_up(tx, ctx.job_id, event.reason, id_of(ctx.job_id, event))
    return ()


def on_released(ctx: Context, event: StockReleased) -> Iterable[Event]:
    with database.transaction() as tx:
        note_answer(tx, ctx.job_id, released=True)
        return _void(tx, ctx)


def on_refunded(ctx: Context, event: CardRefunded) -> Iterable[Event]:
    with database.transaction() as tx:
        note_answer(tx, ctx.job_id, refunded=True)
        return _void(tx, ctx)


def on_receipt(ctx: Context, event: ReceiptSent) -> Iterable[Event]:
    with database.transaction() as tx:
        return _complete(tx, ctx.job_id)


def on_help_needed(ctx: Context, event: HelpNeeded) -> Iterable[Event]:
    with database.transaction() as tx:
        move_flow(
            tx,
            ctx.job_id,
            ("placed", "given_up", "confirmed"),
            help=f"{event.service} cannot go on with {event.event}: {event.error}",
        )
    return ()


def on_waived(ctx: Context, event: WorkWaived) -> Iterable[Event]:
    """Nobody waits any longer for what will not be done. What one of the others leaves undone is
    kept.
    """
    what = WAIVABLE.get((event.service, event.event))
    with database.transaction() as tx:
        if event.service != service.name:
            kept = {
                "service": event.service,
                "event": event.event,
                "actor": event.by,
                "why": event.reason,
            }
            tx.execute(
                insert_or(tx, left_undone)
                .values(job=ctx.job_id, at=after(0), **kept)
                .on_conflict_do_nothing()
            )
        if what in ("released", "refunded"):
            note_answer(tx, ctx.job_id, **{what: True})
            return _void(tx, ctx)
        if what == "completed":
            return _complete(tx, ctx.job_id)
        if what == "given_up":
            _give_up(
                tx,
                ctx.job_id,
                f"{event.event} could not be taken in: {event.reason}",
                id_of(ctx.job_id, event),
            )
    return ()


# --- what the clock says --------------------------------------------------------------------------
def remind() -> int:
    """Give up what got no answer in time, and ask again for answers that are due. Returns how many
    orders that were.
    """
    return give_up_late() + ask_again()


def give_up_late() -> int:
    """placed -> given_up, for orders past their time."""
    with database.snapshot() as tx:
        found = list(tx.execute(_late(event_settings().sweep_rows)).scalars())
    for job in found:
        with database.transaction() as tx:
            _give_up(tx, job, "Not everybody answered in time.", f"{job}:{OrderPlaced.__name__}")
    return len(found)


@cache
def _late(rows: int) -> Select[str]:
    c = flows.c
    late = (c.phase == "placed") & (c.answer_by <= now())
    return select(c.job).where(late).order_by(c.answer_by).limit(rows)


def ask_again() -> int:
    """Say the last event anew where its answers are missing; the next time after twice as long."""
    c, limits = flows.c, event_settings()
    with database.snapshot() as tx:
        found = list(tx.execute(_to_ask_again(limits.sweep_rows)).scalars())
    for job in found:
        with database.transaction() as tx:
            row = tx.execute(select(c.asks).where(c.job == job)).one()
            wait_s = min(limits.ask_cap_seconds, limits.ask_seconds * 2.0 ** min(row.asks + 1, 30))
            still_due = (c.job == job) & (c.ask_at <= now())
            values = {"asks": c.asks + 1, "ask_at": after(wait_s)}
            if asked := tx.execute(
                update(flows).where(still_due).values(values).returning(c.asking)
            ).first():
                desk.say_again(tx, asked.asking)
    return len(found)


@cache
def _to_ask_again(rows: int) -> Select[str]:
    c = flows.c
    return select(c.job).where(c.ask_at <= now()).order_by(c.ask_at).limit(rows)


# --- the moves ------------------------------------------------------------------------------------
_NOTHING_ASKED: dict[str, Any] = {"asking": None, "ask_at": None}


def _confirm_by_itself(tx: Connection, ctx: Context) -> Sequence[Event]:
    flow = flow_of(tx, ctx.job_id)
    return () if flow is None or flow.asks_customer else _confirm(tx, ctx)


def _confirm(tx: Connection, ctx: Context) -> Sequence[Event]:
    """placed -> confirmed, when both answers are here. The point of no return."""
    flow = flow_of(tx, ctx.job_id)
    if flow is None or flow.phase != "placed" or flow.reserved is None or flow.charged is None:
        return ()
    reserved, charged = Reserved.model_validate(flow.reserved), Charge.model_validate(flow.charged)
    orders.confirm(_of_step(ctx, "confirm_order"), reserved, charged)
    event = OrderConfirmed(
        reservation=reserved.reservation, order=OrderRequest.model_validate(flow.request)
    )
    move_flow(tx, ctx.job_id, ("placed",), phase="confirmed")
    desk.forget(tx, f"{ctx.job_id}:{OrderPlaced.__name__}")
    _ask_for_answers(tx, ctx.job_id, event)
    return [event]


def _give_up(tx: Connection, job: str, reason: str, causation: str) -> None:
    """placed -> given_up. From here on it is never confirmed; services give back what they hold for
    it.
    """
    if not move_flow(tx, job, ("placed",), phase="given_up", reason=reason, help=None):
        return
    event = OrderGivenUp(reason=reason, amount_cents=flow_of(tx, job).request["amount_cents"])
    desk.forget(tx, f"{job}:{OrderPlaced.__name__}")
    _say(tx, job, event, causation)


def _void(tx: Connection, ctx: Context) -> Sequence[Event]:
    """given_up -> voided, when goods and money are back: the order's own end comes last."""
    flow = flow_of(tx, ctx.job_id)
    if flow is None or flow.phase != "given_up" or not (flow.released and flow.refunded):
        return ()
    orders.void(_of_step(ctx, PLACE, "undo"))
    move_flow(tx, ctx.job_id, ("given_up",), phase="voided", help=None, **_NOTHING_ASKED)
    return [OrderVoided(reason=flow.reason)]


def _complete(tx: Connection, job: str) -> Sequence[Event]:
    """confirmed -> completed."""
    return (
        [OrderCompleted()]
        if move_flow(tx, job, ("confirmed",), phase="completed", help=None, **_NOTHING_ASKED)
        else []
    )


def _say(tx: Connection, job: str, event: Event, causation: str | None) -> None:
    desk.say(tx, service.name, job, [event], causation)
    _ask_for_answers(tx, job, event)


def _ask_for_answers(tx: Connection, job: str, event: Event) -> None:
    values = {"asking": id_of(job, event), "asks": 0, "ask_at": after(event_settings().ask_seconds)}
    tx.execute(update(flows).where(flows.c.job == job).values(values))


def _of_step(ctx: Context, step: str, kind: str = "action") -> Context:
    return replace(ctx, step=step, item="", kind=kind)


def _poll_s(age_s: float) -> float:
    limits = event_settings()
    return min(limits.poll_cap_seconds, max(limits.poll_seconds, age_s / 4))


service = Service(
    "orders",
    database,
    (
        Route(StockReserved, on_reserved, "note_stock"),
        Route(CardCharged, on_charged, "note_charge"),
        Route(StockRefused, on_refused, "note_refusal"),
        Route(CardDeclined, on_refused, "note_refusal"),
        Route(StockReleased, on_released, "note_release"),
        Route(CardRefunded, on_refunded, "note_refund"),
        Route(ReceiptSent, on_receipt, "note_receipt"),
        Route(HelpNeeded, on_help_needed, "note_help"),
        Route(WorkWaived, on_waived, "note_waiver"),
    ),
    remind,
)
