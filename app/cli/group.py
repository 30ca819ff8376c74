"""The group of all commands: listed without their code, loaded when called for; errors as one line,
never a traceback.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rich_click as click
from click.exceptions import Abort, Exit

from surefoot.app import environment
from surefoot.app.errors import InvalidInput, RequestError, SurefootError, TryLater
from surefoot.app.supervisor import plugins, runfile
from surefoot.app.supervisor.plugins import Listed
from surefoot.app.supervisor.private import PART

BARE = (
    "up",
    "version",
    "bench",
    "drill",
    "simulate",
)  # commands that take nothing from an earlier `surefoot up` on this home
REFUSED = 2  # as click's own for wrong words
TRY_LATER = 75  # as EX_TEMPFAIL of sysexits.h: the same words may succeed later
ENDS = """Exit codes: 0 it is done (with --wait: the job completed). 1 it did not go well: the job failed or was cancelled, a person
is asked, a check found something, or something here cannot work (a setting, a missing store). 2 it was refused: wrong words, a
name that nothing has, an input that does not fit, an act that the state forbids. 75 not now: the same may succeed later. 130 stopped."""


class Commands(click.RichGroup):
    """Our commands by the place of their code, and those of saga packages. Listed by what the
    tables say; loaded to be run.
    """

    def __init__(self, table: Mapping[str, Listed]) -> None:
        super().__init__(
            name="surefoot",
            help="Long jobs that end well: durable sagas on Celery, with declared undo for every step.",
            epilog=ENDS.replace("\n", " "),
            context_settings={"help_option_names": ["-h", "--help"]},
            params=[_version_option()],
        )
        self._table = dict(table)
        self.commands.update({name: _stub(name, one) for name, one in table.items()})

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Those of the table, in its order, then those of saga packages by name."""
        self._take_packages()
        return list(self.commands)

    def load(self, name: str) -> click.Command | None:
        """The command itself. Raises: SettingsError when a saga package refuses its settings."""
        return self._table[name].load() if name in self._table else plugins.load(name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self._table:
            self._take_packages()
        name, _, rest = super().resolve_command(ctx, args)
        if name is None:
            return None, None, rest
        if not ctx.resilient_parsing:
            logs_of_a_command()
        if name not in BARE and PART not in os.environ:  # a part was told what is its own
            runfile.apply(Path(os.environ.get("SUREFOOT_HOME") or "var"))
        return name, self.load(name), rest

    def _take_packages(self) -> None:
        for name, one in sorted(plugins.listed().items()):
            self.commands.setdefault(name, _stub(name, one))


def _stub(name: str, one: Listed) -> click.Command:
    """What help, completion and suggestions need of a command, without its code."""
    return click.RichCommand(name=name, help=one.help, panel=one.panel)


def _version_option() -> click.Option:
    def show(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
        if asked and not ctx.resilient_parsing:
            from importlib.metadata import version

            click.echo(f"surefoot {version('surefoot')}")
            ctx.exit()

    said = "Print the version and exit."
    return click.Option(
        ["--version"], is_flag=True, expose_value=False, is_eager=True, callback=show, help=said
    )


def logs_of_a_command() -> None:
    """Warnings only. Not before a command is run: the list of all needs no settings."""
    from surefoot.app import logs

    logs.configure(quiet=True)


def run(group: click.Group) -> None:
    """Run the command line and end the process, with one of the codes that ENDS explains."""
    _buffered()
    environment.clear_of_libraries()
    raise SystemExit(outcome(group))


def _buffered() -> None:
    """With PYTHONUNBUFFERED, as in our image, what is printed goes to the system at one try, and
    what does not fit into the pipe when the process is stopped and goes on (`docker pause`, Ctrl-Z)
    is dropped without a word. A buffer tries again; each line leaves at once.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # whatever text is stored is printed
    raw = getattr(sys.stdout, "buffer", None)
    if isinstance(raw, io.RawIOBase):
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(raw),
            encoding=sys.stdout.encoding,
            errors=sys.stdout.errors,
            newline="\n",
            line_buffering=True,
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
        return (
            TRY_LATER
            if isinstance(error, TryLater)
            else REFUSED
            if isinstance(error, RequestError)
            else 1
        )
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the reader has gone, as `| head` does
        return 1
    except Exception as error:
        if os.environ.get("SUREFOOT_DEBUG"):
            raise
        _tell(f"{type(error).__name__}: {error} (a bug in Surefoot; SUREFOOT_DEBUG=1 shows where)")
        return 1


def _tell(message: str) -> None:
    click.echo(f"{click.style('surefoot:', fg='red')} {message}", err=True)
