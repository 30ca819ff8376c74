"""Commands that saga packages add by the entry-point group `surefoot.commands`.

An entry point is a mapping of names to `(place, help)` or `(place, help, panel)`: the module and
attribute of a click command, its one-line help, and the heading it is listed under. So a list of
all commands imports none. It may also be a click command, a list of them, or a function that gives
either; those are imported to be listed. One that cannot be loaded is told of and left out: a broken
package must not take the whole command line with it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

import click

from surefoot.app.errors import SettingsError

GROUP = "surefoot.commands"
PANEL = "Saga packages"


@dataclass(frozen=True)
class Listed:
    """A command as the list of all shows it.

    `place`: "module:attribute"; `command`: where it has been loaded already.
    """

    place: str
    help: str
    panel: str = PANEL
    command: click.Command | None = None

    def load(self) -> click.Command:
        """The command itself. Raises: whatever its module does."""
        if self.command is not None:
            return self.command
        module, _, attribute = self.place.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command


def any_there() -> bool:
    """Whether any package adds a command. Loads none of them, which takes a while."""
    return bool(entry_points(group=GROUP))


@lru_cache
def listed() -> dict[str, Listed]:
    """Name -> command, of all packages installed here.

    Raises: SettingsError when a package refuses its settings.
    """
    found: dict[str, Listed] = {}
    for entry in entry_points(group=GROUP):
        try:
            found.update(_listed_in(entry.load()))
        except SettingsError:
            raise
        except Exception as error:
            print(
                f"surefoot: the commands of {entry.value} cannot be loaded: {error!r}",
                file=sys.stderr,
            )
    return found


def load(name: str) -> click.Command | None:
    """The command of this name, loaded.

    One that cannot be loaded is told of. Raises: SettingsError as `listed`.
    """
    one = listed().get(name)
    try:
        return one.load() if one is not None else None
    except SettingsError:
        raise
    except Exception as error:
        print(f"surefoot: the command {name} cannot be loaded: {error!r}", file=sys.stderr)
        return None


def _listed_in(value: Any) -> dict[str, Listed]:
    if isinstance(value, Mapping):
        return {name: Listed(*told) for name, told in value.items()}
    if callable(value) and not isinstance(value, click.Command):
        value = value()
    commands: Iterable[click.Command] = [value] if isinstance(value, click.Command) else value
    return {
        one.name or "": Listed("", one.get_short_help_str(limit=100), command=one)
        for one in commands
    }
