"""`surefoot version`."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of

import rich_click as click

TOLD = ("celery", "sqlalchemy", "flask", "redis")


@click.command()
def version() -> None:
    """Print the versions that matter in a report of a mistake."""
    parts = [f"Python {platform.python_version()}", *(f"{name} {_version(name)}" for name in TOLD), platform.platform()]
    click.echo(f"surefoot {_version('surefoot')} ({', '.join(parts)})")


def _version(name: str) -> str:
    try:
        return version_of(name)
    except PackageNotFoundError:
        return "not installed"
