"""The four services. None imports another; what each knows of an order it has from events."""

from surefoot.workers.sagas.order_choreographed.service import Service
from surefoot.workers.sagas.order_choreographed.services import inventory, mail, orders, payments

SERVICES: tuple[Service, ...] = (orders.service, inventory.service, payments.service, mail.service)
