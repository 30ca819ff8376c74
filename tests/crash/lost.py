"""Copies of the order saga in which an attempt stands still at a point until somebody kills what it runs in."""

from __future__ import annotations

from surefoot.app.faults import Point
from tests.support.order_copies import copy_of_order

STANDS_S = 50
STANDING = {point: f"stands_{point}" for point in Point}
UNDONE = "stands_in_undo"
FAULTS = ";".join(
    [
        *(f"{name}.charge_card:delay={STANDS_S}@{point}" for point, name in STANDING.items()),
        f"{UNDONE}.confirm_order:reject@before_effect;{UNDONE}.charge_card.undo:delay={STANDS_S}@after_effect",
    ]
)
COPIES = {name: copy_of_order(name) for name in (*STANDING.values(), UNDONE)}
globals().update(COPIES)
