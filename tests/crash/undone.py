"""Copies of the order saga that turn at the last moment, or have little patience with a bank."""

from __future__ import annotations

from surefoot import Retry
from tests.support.order_copies import copy_of_order

patient = copy_of_order("patient")
turning = copy_of_order("turning")
hasty = copy_of_order("hasty", retry=Retry(limit=3, backoff="100ms", cap="200ms"))
hasty_turning = copy_of_order(
    "hasty_turning", undo_retry=Retry(limit=2, backoff="100ms", cap="200ms")
)
FAULTS = "turning.confirm_order:reject@before_effect*1000;hasty_turning.confirm_order:reject@before_effect*1000"
