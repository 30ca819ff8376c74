"""Commands that become another process: all of them at once (`up`), or one part by itself."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import rich_click as click

from surefoot.app import environment
from surefoot.app.config import WEB_PORT, settings
from surefoot.app.supervisor import additions, commands, ports
from surefoot.app.supervisor.home import flower_file

FLOWER_PORT = 5555


@click.command()
def up() -> None:
    """Start everything on this machine: web, two workers, relay, Flower, a broker.

    A broker that SUREFOOT_BROKER_URL names is used instead of one of its own.
    """
    from surefoot.app.supervisor.up import up as start

    _tell_what_is_not_obeyed()
    start(settings())


@click.command()
@click.option("--host", help="Address to listen on (SUREFOOT_HOST, 127.0.0.1).")
@click.option(
    "--port", type=click.IntRange(1, 65535), help="Port to listen on (SUREFOOT_PORT, 8000)."
)
def web(host: str | None, port: int | None) -> None:
    """Run the web server."""
    told = settings()
    where, number = host or told.host, port or told.port or WEB_PORT
    ports.is_free(
        where, number
    )  # gunicorn waits for one that is taken, and should not wait for a host that is none
    become(commands.web(where, number, told.trusted_proxies))


@click.command()
@click.option("--lanes", help="The lanes to serve, comma separated (all of the sagas known here).")
@click.option(
    "--concurrency",
    type=click.IntRange(1, 256),
    default=commands.WORKER_CHILDREN,
    show_default=True,
    help="Number of child processes.",
)
@click.option("--name", default="", help="Its name in Flower, unique on each host (worker-PID).")
def worker(lanes: str | None, concurrency: int, name: str) -> None:
    """Run a worker. SIGTERM lets running steps end for a while, then hands their work back."""
    settings()
    env = {**commands.WORKER_ENV, **({"SUREFOOT_LANES": lanes} if lanes else {})}
    become(commands.worker(name or f"worker-{os.getpid()}", concurrency), env)


@click.command()
def relay() -> None:
    """Run the relay: it sends unsent messages and finds stuck work. Of several, one is active."""
    settings()
    become(commands.relay())


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help="Port to listen on (SUREFOOT_FLOWER_PORT, else the first free one from 5555).",
)
def flower(host: str, port: int | None) -> None:
    """Run Flower, read-only. It needs SUREFOOT_FLOWER_BASIC_AUTH=user:password."""
    chosen = settings()
    if not chosen.flower_basic_auth:
        raise click.UsageError(
            "Set SUREFOOT_FLOWER_BASIC_AUTH=user:password: otherwise Flower shows every task to anybody."
        )
    on = ports.choose("SUREFOOT_FLOWER_PORT", host, port or chosen.flower_port, FLOWER_PORT)
    command = commands.flower(
        host,
        on,
        flower_file(chosen.home),
        tasks=chosen.flower_max_tasks,
        save_s=chosen.flower_save_seconds,
        path=urlsplit(chosen.flower_url).path.strip("/"),
    )
    become(command, {"FLOWER_BASIC_AUTH": chosen.flower_basic_auth})


def _tell_what_is_not_obeyed() -> None:
    for sentence in environment.renamed(also=additions.renamed()) + environment.host_of_others():
        click.echo(f"surefoot: {sentence}", err=True)


def become(command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
    """Go on as this program, under the same pid, so that signals reach it."""
    _tell_what_is_not_obeyed()
    os.execve(command[0], list(command), {**environment.for_children(), **(env or {})})
