"""`surefoot version`."""

from __future__ import annotations

import json
import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of

import rich_click as click

TOLD = ("celery", "sqlalchemy", "flask", "redis")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def version(as_json: bool) -> None:
    """Print version information for bug reports."""
    names = {name: _version(name) for name in TOLD}
    if as_json:
        about = {
            "surefoot": _version("surefoot"),
            "python": platform.python_version(),
            **names,
            "platform": platform.platform(),
        }
        click.echo(json.dumps(about, indent=2))
        return
    parts = [
        f"Python {platform.python_version()}",
        *(f"{name} {found}" for name, found in names.items()),
        platform.platform(),
    ]
    click.echo(f"surefoot {_version('surefoot')} ({', '.join(parts)})")


def _version(name: str) -> str:
    try:
        return version_of(name)
    except PackageNotFoundError:
        return "not installed"
