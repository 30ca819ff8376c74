"""Temporary files in memory, where the machine has a file system for that.

Tests make thousands of databases and commit to them all the time. No test asks what survives a loss of power, so a disk
that syncs each commit adds time and no proof: making a PostgreSQL database takes 0.9 s on a disk and 0.16 s in memory,
a commit of SQLite 8 ms and 0.1 ms. TMPDIR of the environment goes before it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

PLACE = Path("/dev/shm")
FREE_BYTES = (
    4 * 1024**3
)  # the whole suite uses below 1 GiB; less than this is some container's small one


def use() -> None:
    """Let this process and all that it starts make their temporary files in memory, if there is room."""
    if "TMPDIR" in os.environ or not _has_room():
        return
    place = PLACE / f"surefoot-tests-{os.getuid()}"
    place.mkdir(mode=0o755, exist_ok=True)  # servers that do not run as root must get through
    os.environ["TMPDIR"] = tempfile.tempdir = str(place)


def _has_room() -> bool:
    try:
        return os.access(PLACE, os.W_OK | os.X_OK) and shutil.disk_usage(PLACE).free >= FREE_BYTES
    except OSError:
        return False
