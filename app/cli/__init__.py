"""The command `surefoot`. Each subcommand is a small module, imported when it is called for, so
that none pays for all.

The other processes are started by name, never imported. Commands about jobs act on the store
itself, as `cli:USER`; what `surefoot up` chose for this home (run.json) serves where the
environment says nothing.
"""

from __future__ import annotations

from surefoot.app.cli.group import Commands, run
from surefoot.app.supervisor.plugins import Listed

__all__ = ["main"]

RUN, JOBS, OPERATE, DEVELOP = "Run", "Jobs", "Operate", "Develop"

# The sentence beside each name stands here too, so that the list of all costs no import of any; a
# test holds them together.
COMMANDS = {
    "up": Listed(
        "surefoot.app.cli.processes:up",
        "Start everything on this machine: web, two workers, relay, Flower, a broker.",
        RUN,
    ),
    "web": Listed("surefoot.app.cli.processes:web", "Run the web server.", RUN),
    "worker": Listed("surefoot.app.cli.processes:worker", "Run a worker.", RUN),
    "relay": Listed(
        "surefoot.app.cli.processes:relay",
        "Run the relay: it sends unsent messages and finds stuck work.",
        RUN,
    ),
    "flower": Listed("surefoot.app.cli.processes:flower", "Run Flower, read-only.", RUN),
    "submit": Listed(
        "surefoot.app.cli.submit:submit",
        "Submit a job of SAGA with this input: JSON, @FILE, or - for standard input.",
        JOBS,
    ),
    "jobs": Listed(
        "surefoot.app.cli.jobs:jobs", "Read jobs; cancel, redrive and resubmit them.", JOBS
    ),
    "attention": Listed(
        "surefoot.app.cli.attention:attention",
        "Jobs that need a person: own them, and decide.",
        JOBS,
    ),
    "dead-letters": Listed(
        "surefoot.app.cli.letters:letters",
        "Operations that were given up: read, redrive and discard them.",
        JOBS,
    ),
    "locks": Listed(
        "surefoot.app.cli.locks:locks",
        "Semantic locks: which jobs hold and wait for which business records.",
        JOBS,
    ),
    "doctor": Listed(
        "surefoot.app.cli.doctor:doctor",
        "Check everything and change nothing: a line each, OK, WARN or FAIL.",
        OPERATE,
    ),
    "reconcile": Listed(
        "surefoot.app.cli.reconcile:reconcile",
        "Act on late jobs, and compare effects with what each service says.",
        OPERATE,
    ),
    "quarantine": Listed(
        "surefoot.app.cli.quarantine:quarantine",
        "Messages that no worker can run, with their reasons.",
        OPERATE,
    ),
    "acts": Listed(
        "surefoot.app.cli.acts:acts",
        "What people did: actor, key, object and reason.",
        OPERATE,
    ),
    "keys": Listed("surefoot.app.cli.keys:keys", "API keys: make, list and revoke them.", OPERATE),
    "db": Listed("surefoot.app.cli.db:db", "Manage the store's schema.", OPERATE),
    "deploy-check": Listed(
        "surefoot.app.cli.deploy_check:deploy_check",
        "Check that new code can continue the open jobs.",
        OPERATE,
    ),
    "sagas": Listed(
        "surefoot.app.cli.sagas:sagas",
        "The sagas in the catalogue: show, check and retire them.",
        DEVELOP,
    ),
    "drill": Listed(
        "surefoot.app.cli.drill:drill", "Try every fault on every operation of SAGA.", DEVELOP
    ),
    "simulate": Listed(
        "surefoot.app.cli.simulate:simulate",
        "Run random sagas under random faults, in one process.",
        DEVELOP,
    ),
    "bench": Listed(
        "surefoot.app.cli.bench:bench",
        "Measure what durability costs beside plain Celery.",
        DEVELOP,
    ),
    "version": Listed(
        "surefoot.app.cli.version:version", "Print version information for bug reports.", DEVELOP
    ),
}


def main() -> None:
    """The entry point of the console script."""
    run(Commands(COMMANDS))
