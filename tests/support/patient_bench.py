"""`surefoot bench` for a machine that may be busy, where only counts matter; with the word `plain`, without events.

No time ends what runs on in one message, so that counts are exact. A warm-up does no more than connect every process:
rates are not judged here. The bench gives its processes no setting of the caller's, for a shell must not decide what is
measured.
"""

from __future__ import annotations

import sys

from surefoot.app.bench import fleet, rows, run
from surefoot.app.bench.place import Place
from surefoot.app.cli import main

PATIENT = {"SUREFOOT_RUN_ON_SECONDS": "60", "SUREFOOT_BATCH_SECONDS": "60"}
WARM_JOBS, WARM_WIDE_JOBS = 4, 1
usual = fleet.environment


def environment(place: Place, *, events: bool) -> dict[str, str]:
    return usual(place, events=events) | PATIENT


if __name__ == "__main__":
    fleet.environment = environment
    if "plain" in sys.argv:
        sys.argv.remove("plain")
        rows.ALL = run.ALL = rows.PLAIN
    run.WARM_JOBS, run.WARM_WIDE_JOBS = WARM_JOBS, WARM_WIDE_JOBS
    main()
