"""What `surefoot up` says: one table when it is ready, then one line for each event."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import click

from surefoot.app.config import Settings
from surefoot.app.supervisor import additions
from surefoot.app.supervisor.child import Child
from surefoot.app.supervisor.runfile import RunFile
from surefoot.app.supervisor.stack import Secrets


def say(line: str) -> None:
    """One line with the time of day. A terminal that is gone must not stop anything."""
    try:
        click.echo(f"{click.style(time.strftime('%H:%M:%S'), dim=True)} {line}")
    except OSError:
        pass


def show(children: Sequence[Child], run: RunFile, secrets: Secrets, *, settings: Settings) -> None:
    """Tell what runs where, and what to type first."""
    broker_url = settings.broker_url
    rows = [("part", "url", "pid", "log")]
    if broker_url:
        rows.append(("broker", without_password(broker_url), "-", "BROKER_URL: not ours"))
    rows += [
        (child.part.name, child.part.url or "-", str(child.pid or "-"), str(child.log))
        for child in children
    ]
    widths = [max(len(row[column]) for row in rows) + 2 for column in range(3)]
    try:
        for row in rows:  # never folded: people copy from it, and programs read it
            click.echo(
                "".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False))
                + row[3]
            )
        click.echo(_rest(run, secrets, settings.store_url, settings.home.absolute()))
    except OSError:
        pass


def _rest(run: RunFile, secrets: Secrets, store_url: str, home: Path) -> str:
    """On a terminal with the secrets in it; elsewhere, such as a journal, with the files that have
    them.
    """
    user, _, password = secrets.flower.partition(":")
    api_key, bearer = secrets.api_key, shlex.quote(f"Authorization: Bearer {secrets.api_key}")
    if not sys.stdout.isatty():
        key_file = home / "api_key"
        api_key, bearer = (
            f"in {key_file}",
            f'"Authorization: Bearer $(cat {shlex.quote(str(key_file))})"',
        )
        kept = home / "flower_password"
        password = f"in {kept}" if kept.exists() else "as SUREFOOT_FLOWER_BASIC_AUTH says"
    lines = [
        "",
        f"store     {without_password(store_url)}"
        + ("  (SQLite: this one machine only)" if store_url.startswith("sqlite") else ""),
        f"page      {run.web_url}",
        f"API key   {api_key}",
        f"Flower    {run.flower_url}  (user {user}, password {password})",
        "",
        *_first_job(run.web_url, bearer),
        "Ctrl-C stops everything; started again, it carries on.",
    ]
    return "\n".join(lines)


def _first_job(web_url: str, bearer: str) -> list[str]:
    """The command that asks for the example of a saga package, where one has any."""
    example = additions.example()
    if example is None:
        return []
    words = ["-H", "Content-Type: application/json", "-H", "Prefer: wait=10"]
    words += ["-d", json.dumps(example)]
    curl = f"curl -sS {web_url}/api/v1/jobs -H {bearer} {shlex.join(words)}"
    return ["A first job:", curl, ""]


def without_password(url: str) -> str:
    """A URL that may be shown."""
    password = urlsplit(url).password
    return url.replace(f":{password}@", ":***@") if password else url
