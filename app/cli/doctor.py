"""`surefoot doctor`: is everything here that is needed, does it fit together, is nothing stuck?"""

from __future__ import annotations

from dataclasses import asdict

import rich_click as click
from click.exceptions import Exit

from surefoot.app.cli.common import as_json, print_json
from surefoot.app.config import settings
from surefoot.app.doctor import Finding, Level, examine
from surefoot.app.doctor.told import every_setting
from surefoot.app.saga.registry import Registry

COLOURS = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "red"}


@click.command()
@click.option(
    "--all-jobs",
    is_flag=True,
    help="Check the invariants on all jobs, ended ones included. Slow with millions of jobs.",
)
@click.option(
    "--settings",
    "show",
    is_flag=True,
    help="Only show every setting, its value and its source.",
)
@as_json
def doctor(all_jobs: bool, show: bool, as_json: bool) -> None:
    """Check everything and change nothing: a line each, OK, WARN or FAIL.

    Each that is not OK says what to do. Ends with 1 if one is FAIL.
    """
    if show:
        _show_settings(as_json)
        return
    found = []
    for finding in examine(settings, every_job=all_jobs):
        found.append(finding)
        if not as_json:
            _tell(finding)
    if as_json:
        print_json({"ok": not _failed(found), "findings": [asdict(finding) for finding in found]})
    if _failed(found):
        raise Exit(1)


def _show_settings(in_json: bool) -> None:
    Registry.load(settings().saga_modules)  # their settings, too
    found = every_setting()
    if in_json:
        print_json([asdict(one) for one in found])
        return
    for one in found:
        click.echo(
            f"{one.name:<40}  {one.value:<30}  {one.source if one.source != one.name else 'environment'}"
        )


def _tell(finding: Finding) -> None:
    level = click.style(
        f"{finding.level:<4}", fg=COLOURS[finding.level], bold=finding.level == Level.FAIL
    )
    click.echo(f"{level}  {finding.about:<12}  {finding.said}")
    if finding.fix:
        click.echo(f"{'':20}→ {finding.fix}")


def _failed(found: list[Finding]) -> bool:
    return any(finding.level == Level.FAIL for finding in found)
