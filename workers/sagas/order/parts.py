"""What the order saga adds to `surefoot up`: a bank, and goods on an empty shelf."""

from __future__ import annotations

import os
from pathlib import Path

from surefoot.app.supervisor import commands, ports, probes
from surefoot.app.supervisor.additions import Begun
from surefoot.app.supervisor.part import Part
from surefoot.app.supervisor.stack import LOOPBACK, RANKS

BANK_URL = "SUREFOOT_BANK_URL"


def begin(home: Path) -> Begun:
    """A bank on a free port, unless the setting names another one."""
    if given := os.environ.get(BANK_URL):
        return Begun(told={BANK_URL: given})
    port = ports.any_free()
    return Begun(early=(bank(port),), told={BANK_URL: f"http://{LOOPBACK}:{port}"})


def bank(port: int) -> Part:
    """The bank that the order saga's payments speak to."""
    return Part(
        name="bank",
        command=commands.surefoot("bank", "--port", str(port)),
        stop_rank=RANKS["called"],
        ready=lambda pid: probes.listens(LOOPBACK, port),
        url=f"http://{LOOPBACK}:{port}",
        port=port,
    )


def prepare() -> None:
    """Stock for an empty shelf."""
    from surefoot.workers.sagas.order.command_line import stock

    stock.main(["--seed"], standalone_mode=False)
