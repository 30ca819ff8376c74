"""Following a job live: one line for each step on a terminal, one line for each change elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import rich_click as click
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text
from sqlalchemy import Engine

from surefoot.app.errors import TryLater
from surefoot.app.explain import why
from surefoot.app.rules.states import ENDED, JobState, OpState
from surefoot.app.store.views import job_view

EVERY_S = 0.25
STANDING = (*ENDED, JobState.ATTENTION)  # it does not move by itself any more
QUIET = (
    OpState.PENDING,
    OpState.QUEUED,
    "not_started",
)  # nothing has happened yet: not worth a line
MARKS = {
    OpState.COMPLETED: ("✓", "green"),
    OpState.FAILED: ("✗", "red"),
    OpState.WAITING: ("…", "yellow"),
    OpState.QUEUED: ("·", "cyan"),
    OpState.SKIPPED: ("-", "dim"),
    "stopped": ("■", "yellow"),
}


def follow(db: Engine, job_id: str) -> int:
    """Show the job until it ends or a person has to decide. Returns the exit code: 0 when it
    completed, else 1.
    """
    console = Console(highlight=False)
    try:
        view = _live(console, db, job_id) if console.is_terminal else _plain(db, job_id)
    except KeyboardInterrupt:
        click.echo(
            f"\nThe job continues. Follow it again with: surefoot jobs watch {job_id}", err=True
        )
        return 130
    click.echo(
        f"{view['name']}: {view['state']} ({view['outcome']}). {why(db, job_id, None)['sentence']}"
    )
    return 0 if view["state"] == JobState.COMPLETED else 1


def _views(db: Engine, job_id: str) -> Iterator[dict[str, Any]]:
    """The job, again and again, the last time as it stands."""
    while True:
        try:
            view = job_view(db, job_id, None)
        except TryLater:  # the store is away for a moment: so is the news
            time.sleep(EVERY_S * 4)
            continue
        yield view
        if view["state"] in STANDING:
            return
        time.sleep(EVERY_S)


def _plain(db: Engine, job_id: str) -> dict[str, Any]:
    said: dict[str, tuple[str, str]] = {}
    view: dict[str, Any] = {}
    for view in _views(db, job_id):
        for step in view["steps"]:
            now = (step["state"], _undo(step))
            if said.get(step["name"]) != now and (now[1] or now[0] not in QUIET):
                click.echo(f"{step['name']}: {now[0]}{', undo ' + now[1] if now[1] else ''}")
                said[step["name"]] = now
    return view


def _live(console: Console, db: Engine, job_id: str) -> dict[str, Any]:
    view: dict[str, Any] = {}
    spinner = Spinner("dots", style="cyan")
    with Live(console=console, auto_refresh=True, refresh_per_second=10) as live:
        for view in _views(db, job_id):
            live.update(_picture(view, spinner))
    return view


def _picture(view: dict[str, Any], spinner: Spinner) -> Group:
    steps = Table.grid(padding=(0, 2))
    for step in view["steps"]:
        mark, style = MARKS.get(step["state"], (" ", "dim"))
        undo = _undo(step)
        notes = [f"attempt {step['attempts']}"] if step["attempts"] > 1 else []
        notes += (
            [(step["error"] or {}).get("message", "")]
            if step["state"] in (OpState.FAILED, OpState.WAITING)
            else []
        )
        notes += [f"undo {undo}"] if undo else []
        first = spinner if step["state"] == OpState.RUNNING else Text(mark, style)
        took, noted = Text(_took(step), "dim"), Text(", ".join(filter(None, notes)), "dim")
        steps.add_row(first, Text(step["name"]), Text(step["state"], style), took, noted)
    fraction = float(view["progress"]["fraction"] or 0.0)
    going_back = view["state"] in (JobState.COMPENSATING, JobState.FAILED, JobState.CANCELLED)
    bar = Table.grid(padding=(0, 2))
    style = "yellow" if going_back else "green"
    words = "undoing" if view["state"] == JobState.COMPENSATING else view["state"]
    bar.add_row(
        Text(view["name"], "bold"),
        ProgressBar(1.0, fraction, width=30, complete_style=style, finished_style=style),
        Text(words),
    )
    return Group(bar, steps)


def _undo(step: dict[str, Any]) -> str:
    undo = step["compensation"]
    return "" if undo is None or undo["state"] == "not_needed" else str(undo["state"])


def _took(step: dict[str, Any]) -> str:
    if not step["started_at"]:
        return ""
    end = datetime.fromisoformat(step["finished_at"]) if step["finished_at"] else datetime.now(UTC)
    return f"{max(0.0, (end - datetime.fromisoformat(step['started_at'])).total_seconds()):.1f} s"


def last_view(db: Engine, job_id: str) -> dict[str, Any]:
    """Wait in silence; the job as it ended, or stands for a person."""
    *_, view = _views(db, job_id)
    return view
