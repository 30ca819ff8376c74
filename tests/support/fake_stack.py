"""A supervisor with fake parts, as a process of its own, so that a test may send it signals or kill it.

    python fake_stack.py FOLDER NAME:RANK:BEHAVIOUR[:BUDGET] …

Each part writes `NAME start PID` and, when it is asked to stop, `NAME stop` into FOLDER/events. BEHAVIOUR: `obedient`
ends when asked; `slow` takes half a second for it; `deaf` ignores it; `family` has a child process that ignores it;
`broken` ends at once with code 3.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from surefoot.app.supervisor.part import Part
from surefoot.app.supervisor.supervisor import CannotStart, Stopped, Supervisor


def part_main(folder: str, name: str, behaviour: str) -> None:
    """What runs in a fake part."""

    def tell(event: str) -> None:
        with (Path(folder) / "events").open("a") as events:
            events.write(f"{name} {event}\n")

    def asked(number: int, frame: object) -> None:
        tell("stop")
        if behaviour == "slow":
            signal.setitimer(signal.ITIMER_REAL, 0.5)
        elif behaviour != "deaf":
            os._exit(0)

    signal.signal(signal.SIGALRM, lambda number, frame: (tell("end"), os._exit(0)))
    signal.signal(signal.SIGTERM, asked)
    tell(f"start {os.getpid()}")
    if behaviour == "broken":
        print("something is missing")
        sys.exit(3)
    if behaviour == "family":
        subprocess.Popen([sys.executable, __file__, "part", folder, f"{name}-child", "deaf"])
    while True:
        signal.pause()


def main(folder: str, *specs: str) -> None:
    supervisor = Supervisor(Path(folder) / "log", os.environ, lambda line: print(line, flush=True))
    try:
        for spec in specs:
            name, rank, behaviour, *budget = spec.split(":")
            command = (sys.executable, __file__, "part", folder, name, behaviour)
            supervisor.start(
                Part(name, command, int(rank), stop_budget_s=float(budget[0]) if budget else 5.0)
            )
        print(f"watching {os.getpid()}", flush=True)
        supervisor.watch()
    except Stopped:
        print("stopping", flush=True)
    except CannotStart as error:
        print(error.message, flush=True)
    finally:
        supervisor.stop()
    print("stopped", flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "part":
        part_main(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
