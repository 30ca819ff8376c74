"""The commands that the order saga adds, as `surefoot --help` lists them. Their code is in `command_line.py`."""

from __future__ import annotations

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
