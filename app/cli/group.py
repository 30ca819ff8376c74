"""The group of all commands: found when called for, errors as one line, never a traceback."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import rich_click as click
from click.exceptions import Abort, Exit

from app import environment
from app.errors import InvalidInput, SurefootError, TryLater
from app.supervisor import plugins, runfile
from app.supervisor.private import PART

BARE = ("up", "version", "bench", "drill", "simulate")  # commands that take nothing from an earlier `surefoot up` on this home
TRY_LATER = 75  # as EX_TEMPFAIL of sysexits.h: the same words may succeed later


class Commands(click.RichGroup):
    """Our commands by the place of their code, and those of saga packages."""

    def __init__(self, places: Mapping[str, str]) -> None:
        super().__init__(
            name="surefoot",
            help="Long jobs that end well: durable sagas on Celery, with declared undo for every step.",
            context_settings={"help_option_names": ["-h", "--help"]},
        )
        self._places = places

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self._places, *sorted(set(plugins.commands()) - set(self._places))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if place := self._places.get(cmd_name):
            module, _, attribute = place.partition(":")
            command: click.Command = getattr(import_module(module), attribute)
            return command
        return plugins.commands().get(cmd_name)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        if name not in BARE and PART not in os.environ:  # a part was told what is its own
            runfile.apply(Path(os.environ.get("SUREFOOT_HOME") or "var"))
        return name, command, rest


def run(group: click.Group) -> None:
    """Run the command line and end the process: 0, 1 for what went wrong, 2 for wrong words, 75 for what may succeed later."""
    from app import logs

    _buffered()
    environment.clear_of_libraries()
    logs.configure(quiet=True)
    raise SystemExit(outcome(group))


def _buffered() -> None:
    """With PYTHONUNBUFFERED, as in our image, what is printed goes to the system at one try, and what does not fit into the pipe when
    the process is stopped and goes on (`docker pause`, Ctrl-Z) is dropped without a word. A buffer tries again; each line leaves at once.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # whatever text is stored is printed
    raw = getattr(sys.stdout, "buffer", None)
    if isinstance(raw, io.RawIOBase):
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(raw), encoding=sys.stdout.encoding, errors=sys.stdout.errors, newline="\n", line_buffering=True
        )


def outcome(group: click.Group, args: list[str] | None = None) -> int:
    """The exit code of a command line, its errors told."""
    try:
        code: Any = group.main(args, prog_name="surefoot", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except Exit as ended:
        return ended.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        return 130
    except SurefootError as error:
        _tell(error.message)
        for fault in error.faults if isinstance(error, InvalidInput) else []:
            click.echo(f"  {fault.get('pointer', '')}: {fault.get('detail', '')}", err=True)
        return TRY_LATER if isinstance(error, TryLater) else 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whoever read us has gone, as `| head` does
        return 1
    except Exception as error:
        if os.environ.get("SUREFOOT_DEBUG"):
            raise
        _tell(f"{type(error).__name__}: {error} (a mistake of ours; SUREFOOT_DEBUG=1 shows where)")
        return 1


def _tell(message: str) -> None:
    click.echo(f"{click.style('surefoot:', fg='red')} {message}", err=True)
