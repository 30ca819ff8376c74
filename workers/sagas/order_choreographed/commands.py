"""What the choreographed order adds to Surefoot: commands, as `surefoot --help` lists them, and a
part of `surefoot up`.

Their code is in `command_line.py` and `parts.py`, and read when it is used.
"""

from __future__ import annotations

from surefoot.app.supervisor.additions import Addition
from surefoot.app.supervisor.private import BROKER, STORE
from surefoot.app.supervisor.redis_rights import (
    CONNECTION,
    HOLD,
    LISTEN,
    PUBLISH,
    Rights,
    commands_of,
)
from surefoot.workers.sagas.order.commands import SERVICES

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

_EVENTS = ("SUREFOOT_EVENTS_SECRET", "SUREFOOT_EVENTS_SECRET_ALSO")
_RENAMED = """
    EVENTS_ANSWER_SECONDS EVENTS_ASK_CAP_SECONDS EVENTS_ASK_SECONDS EVENTS_ATTEMPTS
    EVENTS_BACKOFF_CAP_SECONDS EVENTS_BACKOFF_SECONDS EVENTS_HOLD_SECONDS
    EVENTS_PATIENT_ATTEMPTS EVENTS_POLL_CAP_SECONDS EVENTS_POLL_SECONDS EVENTS_SWEEP_ROWS
    EVENTS_SWEEP_SECONDS EVENTS_THREADS
"""

up = Addition(
    begin="surefoot.workers.sagas.order_choreographed.parts:begin",
    secrets={"services": frozenset({*STORE, *BROKER, *SERVICES, *_EVENTS})},
    # the services of the topic exchange see their own keys only
    rights={
        "services": Rights(
            ("*order.events/*",), commands_of(CONNECTION, PUBLISH, LISTEN, HOLD, "rpush")
        )
    },
    questions=("surefoot.workers.sagas.order_choreographed.doctor:events",),
    renamed=frozenset(_RENAMED.split()),
)
