"""A copy of the order saga whose charge kills whatever performs it."""

from __future__ import annotations

from tests.support.order_copies import copy_of_order

poisoned = copy_of_order("poisoned")
FAULTS = "poisoned.charge_card:crash@before_effect*1000"
