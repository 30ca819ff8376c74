"""The order saga's steps on the order saga's services, with limits that a test can wait for: twenty seconds for a worker to come."""

from __future__ import annotations

from surefoot import Retry, Saga
from surefoot.workers.sagas.order.models import OrderRequest
from surefoot.workers.sagas.order.saga import (
    charge_card,
    confirm_order,
    create_order,
    find_charge,
    refund_card,
    release_stock,
    reserve_stock,
    send_receipt,
    ship_order,
    void_order,
)

QUEUE_S = 20.0
QUICK = Retry(limit=3, backoff="100ms", cap="500ms", for_="5s")

hasty = Saga("hasty_order", version=1, input=OrderRequest, sla="10m")

created = hasty.step(lane="orders", retry=QUICK, queue_timeout=QUEUE_S)(create_order.fn)
created.compensate("exact", retry=QUICK, queue_timeout=QUEUE_S)(void_order)
reserved = hasty.step(lane="inventory", after=[created], retry=QUICK, queue_timeout=QUEUE_S)(
    reserve_stock.fn
)
reserved.compensate("exact", retry=QUICK, queue_timeout=QUEUE_S)(release_stock)
charged = hasty.step(lane="payments", after=[created], retry=QUICK, queue_timeout=QUEUE_S)(
    charge_card.fn
)
charged.compensate("equivalent", retry=QUICK, queue_timeout=QUEUE_S, settle_after=0)(refund_card)
charged.probe(find_charge)
confirmed = hasty.step(
    lane="orders", after=[reserved, charged], pivot=True, retry=QUICK, queue_timeout=QUEUE_S
)(confirm_order.fn)
shipped = hasty.step(lane="inventory", after=[confirmed], retry=QUICK, queue_timeout=QUEUE_S)(
    ship_order.fn
)
mailed = hasty.step(
    lane="orders",
    after=[shipped],
    irreversible=True,
    on_unknown="retry",
    retry=QUICK,
    queue_timeout=QUEUE_S,
)(send_receipt.fn)
