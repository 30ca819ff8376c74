"""The command `surefoot`. Each subcommand is a small module, imported when it is called for, so that none pays for all.

The other processes are started by name, never imported. Commands about jobs act on the store itself, as `cli:USER`;
what `surefoot up` chose for this home (run.json) serves where the environment says nothing.
"""

from __future__ import annotations

from app.cli.group import Commands, run

__all__ = ["main"]

COMMANDS = {
    "up": "app.cli.processes:up",
    "web": "app.cli.processes:web",
    "worker": "app.cli.processes:worker",
    "relay": "app.cli.processes:relay",
    "flower": "app.cli.processes:flower",
    "db": "app.cli.db:db",
    "keys": "app.cli.keys:keys",
    "submit": "app.cli.submit:submit",
    "jobs": "app.cli.jobs:jobs",
    "attention": "app.cli.attention:attention",
    "locks": "app.cli.locks:locks",
    "dead-letters": "app.cli.letters:letters",
    "quarantine": "app.cli.quarantine:quarantine",
    "reconcile": "app.cli.reconcile:reconcile",
    "acts": "app.cli.acts:acts",
    "sagas": "app.cli.sagas:sagas",
    "drill": "app.cli.drill:drill",
    "bench": "app.cli.bench:bench",
    "simulate": "app.cli.simulate:simulate",
    "doctor": "app.cli.doctor:doctor",
    "deploy-check": "app.cli.deploy_check:deploy_check",
    "version": "app.cli.version:version",
}


def main() -> None:
    """The entry point of the console script."""
    run(Commands(COMMANDS))
