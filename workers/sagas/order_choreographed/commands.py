"""The commands that the choreographed order adds, as `surefoot --help` lists them. Their code is in `command_line.py`."""

from __future__ import annotations

_CODE, _PANEL = "surefoot.workers.sagas.order_choreographed.command_line", "Example shop"

commands = {
    "choreography": (
        f"{_CODE}:choreography",
        "The services of the order without a coordinator: run them, answer letters.",
        _PANEL,
    ),
    "timeline": (
        f"{_CODE}:timeline",
        "Show everything that the services said and heard about an order.",
        _PANEL,
    ),
}
