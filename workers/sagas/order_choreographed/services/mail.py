"""The mail service: it sends the receipt of what was shipped.

Its database holds nothing but its desk.

A folder takes one file for each key. An SMTP server keeps no keys: there a crash between sending
and noting it is a second copy with the same Message-ID, as in `order`.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import MetaData

from surefoot import Context
from surefoot.workers.sagas.order.services import mail
from surefoot.workers.sagas.order.services.database import ServiceDatabase
from surefoot.workers.sagas.order_choreographed import desk
from surefoot.workers.sagas.order_choreographed.events import Event, OrderShipped, ReceiptSent
from surefoot.workers.sagas.order_choreographed.service import Route, Service

RECEIPT = "send_receipt"

metadata = MetaData()
desk.desk_tables(metadata)
database = ServiceDatabase("mail", metadata)


def on_shipped(ctx: Context, event: OrderShipped) -> Iterable[Event]:
    return [ReceiptSent(message_id=mail.send_receipt(ctx, event.order).message_id)]


service = Service("mail", database, (Route(OrderShipped, on_shipped, RECEIPT, remote=True),))
