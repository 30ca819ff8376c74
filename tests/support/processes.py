"""Which processes still live."""

from __future__ import annotations

import psutil


def lives(pid: int) -> bool:
    """Whether the process runs. A zombie has ended: where nobody collects orphans (in a container) it stays in the list."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
