"""`surefoot submit`: ask for a job."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import rich_click as click
from click.exceptions import Exit

from surefoot.app import trace
from surefoot.app.access import tenants
from surefoot.app.access.principal import shell_actor
from surefoot.app.cli import completing
from surefoot.app.cli.common import as_json, print_json, publish
from surefoot.app.cli.opening import store
from surefoot.app.config import settings
from surefoot.app.engine.jobs.intake import Entrance
from surefoot.app.engine.jobs.submit import Submission
from surefoot.app.rules.states import JobState
from surefoot.app.store.views import job_view


@click.command()
@click.argument("saga", shell_complete=completing.sagas)
@click.argument("input_", metavar="[JSON|@FILE|-]", default="{}")
@click.option(
    "--wait", is_flag=True, help="Follow it to its end; ends with 0 only when it completed."
)
@click.option("--key", help="Idempotency key: the same key and input are the same job.")
@click.option(
    "--tag", "tags", multiple=True, help="A tag to find it by; may be given several times."
)
@as_json
def submit(
    saga: str, input_: str, wait: bool, key: str | None, tags: tuple[str, ...], as_json: bool
) -> None:
    """Submit a job of SAGA with this input: JSON, @FILE, or - for standard input.

    Prints its id. Ends with 2 if it is refused (unknown saga, an input that does not fit), with 1
    if the awaited job did not complete, with 75 if it was not accepted but may be later: the limit
    of open jobs is reached (SUREFOOT_OPEN_JOBS), or the store is away.
    """
    value = _read(input_)
    with store() as db:
        came_from = trace.taken(os.environ.get("TRACEPARENT"))
        words = tuple(dict.fromkeys(tags))
        submission = Submission(
            tenants.ensure(db),
            saga,
            value,
            shell_actor(),
            key=key,
            tags=words,
            traceparent=came_from,
        )
        submitted = Entrance.of(db, settings()).submit(submission)
        publish(db, submitted.plan)
        if wait and not as_json:
            from surefoot.app.cli.watching import follow

            click.echo(submitted.job_id)
            raise Exit(follow(db, submitted.job_id))
        if wait:
            from surefoot.app.cli.watching import last_view

            view = last_view(db, submitted.job_id)
            print_json(view)
            raise Exit(0 if view["state"] == JobState.COMPLETED else 1)
        if as_json:
            print_json(job_view(db, submitted.job_id, None))
        else:
            click.echo(submitted.job_id)


def _read(text: str) -> Any:
    """The input that the words stand for. Raises: UsageError."""
    try:
        if text == "-":
            return json.load(sys.stdin)
        if text.startswith("@"):
            return json.loads(Path(text[1:]).read_text(encoding="utf-8"))
        return json.loads(text)
    except OSError as error:
        raise click.UsageError(f"{text[1:]} cannot be read: {error.strerror}") from error
    except RecursionError as error:
        raise click.UsageError("The input is nested too deeply.") from error
    except ValueError as error:
        raise click.UsageError(f"The input is not JSON: {error}") from error
