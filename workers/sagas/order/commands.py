"""What the order saga adds to Surefoot: commands, as `surefoot --help` lists them, and a part of
`surefoot up`.

Their code is in `command_line.py` and `parts.py`, and read when it is used.
"""

from __future__ import annotations

from surefoot.app.supervisor.additions import Addition
from surefoot.app.supervisor.private import STORE

_CODE, _PANEL = "surefoot.workers.sagas.order.command_line", "Example shop"

commands = {
    "bank": (f"{_CODE}:bank", "Run the bank that the order saga pays at.", _PANEL),
    "stock": (
        f"{_CODE}:stock",
        "Show what is on the shelf, or say how many there were at first.",
        _PANEL,
    ),
    "ledger": (
        f"{_CODE}:ledger",
        "Compare the books of orders, inventory, payments and the bank.",
        _PANEL,
    ),
    "rush": (
        f"{_CODE}:rush",
        "Place many orders at a shop that runs anywhere, and see that every one lands.",
        _PANEL,
    ),
}

# with secrets in them; the address of a mail server may have a password
SERVICES = (
    "SUREFOOT_ORDER_DATABASE_URL",
    "SUREFOOT_PAYMENT_DATABASE_URL",
    "SUREFOOT_INVENTORY_DATABASE_URL",
    "SUREFOOT_MAIL_DATABASE_URL",
    "SUREFOOT_MAIL",
)
_RENAMED = """
    BANK_DATABASE_URL BANK_HANG_SECONDS BANK_SLOW_SECONDS BANK_TIMEOUT_SECONDS BANK_URL
    INVENTORY_DATABASE_URL MAIL_DATABASE_URL MAIL_FROM ORDER_DATABASE_URL
    PAYMENT_DATABASE_URL RESERVE_RECHECK_SECONDS RESERVE_WAIT_SECONDS
"""

up = Addition(
    begin="surefoot.workers.sagas.order.parts:begin",
    prepare="surefoot.workers.sagas.order.parts:prepare",
    secrets={
        "worker": frozenset(SERVICES),
        "bank": frozenset({*STORE, "SUREFOOT_BANK_DATABASE_URL"}),
    },
    example={
        "saga": "order",
        "input": {
            "customer": "Ada",
            "email": "ada@example.com",
            "sku": "apple",
            "quantity": 2,
            "amount_cents": 500,
            "card": "tok_ok",
        },
    },
    renamed=frozenset(_RENAMED.split()),
)
