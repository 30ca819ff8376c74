"""`surefoot deploy-check`: asked with the new code, before it is deployed."""

from __future__ import annotations

from dataclasses import asdict

import rich_click as click
from click.exceptions import Exit

from surefoot.app.cli.common import as_json, print_json
from surefoot.app.cli.opening import store
from surefoot.app.config import settings
from surefoot.app.engine.operators.deploy_check import unreadable_jobs
from surefoot.app.saga.registry import Registry


@click.command("deploy-check")
@click.option(
    "--jobs",
    "most",
    type=click.IntRange(1, 1_000_000),
    default=1000,
    show_default=True,
    help="How many jobs of each definition to try.",
)
@as_json
def deploy_check(most: int, as_json: bool) -> None:
    """Check that new code can continue the open jobs.

    The sagas whose code is here read what those jobs have: definitions, inputs and results. Run
    it with the code that is to be deployed, against the store that is in use. Nothing is written.
    Ends with 1 when a job would wait.
    """
    registry = Registry.load(settings().saga_modules)
    with store() as db:
        found = unreadable_jobs(db, registry, most=most)
    if as_json:
        print_json({"ready": not found, "findings": [asdict(one) for one in found]})
    else:
        for one in found:
            click.echo(f"{one.saga}: {one.jobs} open job{'s' if one.jobs > 1 else ''}: {one.said}")
        click.echo(
            "These jobs would wait for code that can run them."
            if found
            else "This code can continue every open job."
        )
    raise Exit(1 if found else 0)
