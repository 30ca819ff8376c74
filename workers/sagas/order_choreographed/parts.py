"""What the choreographed order adds to `surefoot up`: the process of its services."""

from __future__ import annotations

import os
from pathlib import Path

from surefoot.app.config import built
from surefoot.app.supervisor import commands
from surefoot.app.supervisor.additions import Begun
from surefoot.app.supervisor.home import keep
from surefoot.app.supervisor.part import Part
from surefoot.app.supervisor.stack import RANKS
from surefoot.workers.sagas.order_choreographed.settings import UpSettings

SECRET = "SUREFOOT_EVENTS_SECRET"


def begin(home: Path) -> Begun:
    """The services, with a secret that is kept under the home unless the setting gives one."""
    if not built(UpSettings).choreography:
        return Begun()
    return Begun(late=(services(keep(home / "events_secret", os.environ.get(SECRET, ""))),))


def services(secret: str) -> Part:
    """The services that react to each other's events.

    Nothing waits for them: what they have to do is in their databases.
    """
    return Part(
        name="services",
        command=commands.surefoot("choreography", "serve"),
        env={SECRET: secret},
        stop_rank=RANKS["relay"],
        stop_budget_s=15.0,
    )
