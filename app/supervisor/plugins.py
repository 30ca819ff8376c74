"""Commands that saga packages add by the entry-point group `surefoot.commands`.

An entry point is a click command, a list of them, or a function that gives either. One that cannot be loaded is told
of and left out: a broken package must not take the whole command line with it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Any

import click

from app.errors import SettingsError

GROUP = "surefoot.commands"


def any_there() -> bool:
    """Whether any package adds a command. Loads none of them, which takes a while."""
    return bool(entry_points(group=GROUP))


@lru_cache
def commands() -> dict[str, click.Command]:
    """Name -> command, of all packages installed here. Raises: SettingsError when a package refuses its settings."""
    found: dict[str, click.Command] = {}
    for entry in entry_points(group=GROUP):
        try:
            found.update({command.name or "": command for command in _commands_in(entry.load())})
        except SettingsError:
            raise
        except Exception as error:
            print(f"surefoot: the commands of {entry.value} cannot be loaded: {error!r}", file=sys.stderr)
    return found


def _commands_in(value: Any) -> Iterable[click.Command]:
    if callable(value) and not isinstance(value, click.Command):
        value = value()
    return [value] if isinstance(value, click.Command) else list(value)
