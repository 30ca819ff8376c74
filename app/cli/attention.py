"""`surefoot attention`: what waits for a person's decision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import rich_click as click
from sqlalchemy import Engine

from surefoot.app.access.principal import shell_actor
from surefoot.app.cli.common import (
    as_json,
    find_job,
    job_argument,
    moment,
    print_done,
    print_json,
    print_table,
    publish,
)
from surefoot.app.cli.opening import store
from surefoot.app.config import settings
from surefoot.app.engine.operators import assignment
from surefoot.app.engine.operators import decisions as decide
from surefoot.app.engine.operators.decisions import Decision
from surefoot.app.rules.decisions import LetterAction
from surefoot.app.rules.states import JobState
from surefoot.app.store import dead_letters, definitions
from surefoot.app.store.session import reading
from surefoot.app.store.views import job_view, list_jobs
from surefoot.app.store.views.dead_letters import decisions_about

PAGE = 200


@click.group()
def attention() -> None:
    """Jobs that need a person: own them, and decide.

    Each decision is recorded with who and why.
    """


@attention.command("list")
@as_json
def list_(as_json: bool) -> None:
    """Show every operation that a person is asked about."""
    with store() as db:
        rows = [row for job in _standing(db) for row in _asked(db, job)]
    if as_json:
        print_json(rows)
        return
    shown = [
        [
            r["name"],
            r["step"],
            r["kind"],
            r["why"],
            r["attempts"],
            moment(r["since"]),
            r["owner"],
            r["error"],
        ]
        for r in rows
    ]
    print_table(
        ["job", "step", "kind", "why", "attempts", "since (UTC)", "owner", "error"],
        shown,
        "No job needs a decision.",
    )


def _decision(
    action: LetterAction, help_: str, decide_it: Callable[[Engine, str, str, str], Decision]
) -> None:
    @attention.command(action.rule.act, help=help_)
    @job_argument
    @click.argument("step")
    @click.option("--reason", required=True, help="Why; it goes into the history.")
    @as_json
    def command(job: str, step: str, reason: str, as_json: bool) -> None:
        with store() as db:
            job_id = find_job(db, job)
            decision = decide_it(db, decide.letter_of(db, job_id, step), shell_actor(), reason)
            publish(db, decision.plan)
            view = job_view(db, job_id, None)
        print_done(as_json, f"{step}: {decision.message}", view)


_decision(LetterAction.REDRIVE, "Give STEP of JOB fresh attempts.", decide.retry)
_decision(
    LetterAction.MARK_DONE, "STEP of JOB was done by hand: it counts as done.", decide.mark_done
)
_decision(LetterAction.WAIVE, "STEP of JOB will not be done, and that is accepted.", decide.waive)
_decision(
    LetterAction.MARK_ABSENT,
    "STEP of JOB was found never to have happened: the job is undone.",
    lambda db, letter, who, why: decide.mark_absent(db, settings(), letter, who, why),
)


@attention.command()
@job_argument
@click.option("--for", "owner", help="The operator who takes it on. Default: you.")
@as_json
def take(job: str, owner: str | None, as_json: bool) -> None:
    """Take ownership of JOB, or assign it."""
    with store() as db:
        job_id = find_job(db, job)
        if owner is None:
            assignment.take(db, job_id, shell_actor())
        else:
            assignment.assign(db, job_id, owner, shell_actor())
        view = job_view(db, job_id, None)
    print_done(as_json, f"{owner or shell_actor()} has it.", view)


@attention.command()
@job_argument
@as_json
def release(job: str, as_json: bool) -> None:
    """Release JOB: it has no owner any more."""
    with store() as db:
        job_id = find_job(db, job)
        assignment.release(db, job_id, shell_actor())
        view = job_view(db, job_id, None)
    print_done(as_json, "The job has no owner now.", view)


def _standing(db: Engine) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    after = None
    while True:
        page, after = list_jobs(db, None, state=JobState.ATTENTION, after=after, limit=PAGE)
        rows += page
        if after is None:
            return rows


def _asked(db: Engine, job: dict[str, Any]) -> list[dict[str, Any]]:
    with reading(db) as connection:
        letters = dead_letters.blocking_letters(connection, job["id"])
        graph = definitions.graph_of_job(connection, job["id"])
    return [
        {
            "job": job["id"],
            "name": job["name"],
            "since": (job["attention"] or {}).get("since"),
            "owner": (job["attention"] or {}).get("owner"),
            "step": row.step,
            "kind": row.kind,
            "why": row.why,
            "attempts": row.attempts,
            "error": (row.error or {}).get("message"),
            "actions": [action.rule.act for action in decisions_about(row, graph)],
        }
        for row in letters
    ]
