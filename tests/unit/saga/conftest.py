from __future__ import annotations

from typing import Any

import pytest

from surefoot.app.saga.definition import Saga
from tests.unit.saga import order_saga


@pytest.fixture
def order() -> Saga[Any]:
    """The order saga, with an empty bank."""
    order_saga.BANK.clear()
    return order_saga.order


@pytest.fixture
def order_input() -> dict[str, Any]:
    """An input that fits the order saga, as JSON."""
    return {"customer": "ann", "sku": "apple", "quantity": 3, "amount_cents": 900, "card": "tok_ok"}
