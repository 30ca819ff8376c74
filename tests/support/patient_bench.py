"""`surefoot bench` for a machine that may be busy: no time ends what runs on in one message, so that its counts are exact.

The bench gives its processes no setting of the caller's, for a shell must not decide what is measured.
"""

from __future__ import annotations

from surefoot.app.bench import fleet
from surefoot.app.bench.place import Place
from surefoot.app.cli import main

PATIENT = {"SUREFOOT_RUN_ON_SECONDS": "60", "SUREFOOT_BATCH_SECONDS": "60"}
usual = fleet.environment


def environment(place: Place, *, events: bool) -> dict[str, str]:
    return usual(place, events=events) | PATIENT


if __name__ == "__main__":
    fleet.environment = environment
    main()
