"""What the shell offers at Tab: names of jobs and sagas. One short list from the store; where that
fails, nothing is said.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import redirect_stderr
from functools import wraps

import rich_click as click
from click.shell_completion import CompletionItem

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
OFFERED = 50  # of the newest jobs


def _silent(complete: Complete) -> Complete:
    @wraps(complete)
    def offer(ctx: click.Context, param: click.Parameter, begun: str) -> list[CompletionItem]:
        with redirect_stderr(io.StringIO()):  # a prompt is half written: nothing may appear in it
            try:
                from surefoot.app import logs

                logs.configure(quiet=True)
                return complete(ctx, param, begun)
            except Exception:
                return []

    return offer


@_silent
def jobs(_ctx: click.Context, _param: click.Parameter, begun: str) -> list[CompletionItem]:
    """Short names of the newest jobs with their state; ids, once something is written that only an
    id begins with.
    """
    from surefoot.app.cli.opening import store
    from surefoot.app.store.views import list_jobs

    with store() as db:
        rows, _ = list_jobs(db, None, limit=OFFERED)
    wanted = begun.lower()
    names = [
        CompletionItem(row["name"], help=row["state"])
        for row in rows
        if row["name"].lower().startswith(wanted)
    ]
    return names or [
        CompletionItem(row["id"], help=row["name"]) for row in rows if row["id"].startswith(wanted)
    ]


@_silent
def sagas(_ctx: click.Context, _param: click.Parameter, begun: str) -> list[CompletionItem]:
    """Names of the sagas in the store's catalogue."""
    from surefoot.app.cli.opening import store
    from surefoot.app.store.views import sagas_view

    with store() as db:
        found = sagas_view(db)["items"]
    return [
        CompletionItem(one["name"], help=f"version {one['version']}")
        for one in found
        if one["name"].startswith(begun)
    ]


@_silent
def local_sagas(_ctx: click.Context, _param: click.Parameter, begun: str) -> list[CompletionItem]:
    """Names of the sagas whose code is here."""
    from surefoot.app.config import settings
    from surefoot.app.saga.registry import Registry

    known = {saga.name for saga in Registry.load(settings().saga_modules).all()}
    return [CompletionItem(name) for name in sorted(known) if name.startswith(begun)]
