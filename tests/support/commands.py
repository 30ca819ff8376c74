"""The whole tree of the command line, each command loaded."""

from __future__ import annotations

from collections.abc import Iterator

import click

from surefoot.app.cli import COMMANDS
from surefoot.app.cli.group import Commands


def loaded(group: click.Group, name: str) -> click.Command | None:
    """A command of this group with its code: the outermost group lists stand-ins."""
    return (
        group.load(name)
        if isinstance(group, Commands)
        else group.get_command(click.Context(group), name)
    )


def leaves(
    command: click.Command | None = None, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """(words, command) of everything that can be run, a group that runs by itself included."""
    command = command if command is not None else Commands(COMMANDS)
    if not isinstance(command, click.Group) or (command.invoke_without_command and words):
        yield words, command
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            inner = loaded(command, name)
            assert inner is not None, name
            yield from leaves(inner, (*words, name))
