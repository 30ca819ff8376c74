"""`surefoot jobs`: look at jobs, and tell them what to do."""

from __future__ import annotations

from typing import Any

import rich_click as click
from click.exceptions import Exit

from surefoot.app.access.principal import shell_actor
from surefoot.app.cli.common import (
    after,
    as_json,
    find_job,
    job_argument,
    moment,
    print_done,
    print_json,
    print_rest,
    print_table,
    publish,
    saga_option,
)
from surefoot.app.cli.opening import store
from surefoot.app.config import settings
from surefoot.app.engine.jobs.intake import Entrance
from surefoot.app.engine.jobs.submit import Submitted
from surefoot.app.engine.operators import decisions
from surefoot.app.engine.operators.redrive import redrive_job
from surefoot.app.engine.operators.resubmit import Asked, resubmit_job
from surefoot.app.explain import why as reasons
from surefoot.app.rules.events import HistoryEvent
from surefoot.app.rules.states import JobState, Kind
from surefoot.app.store.views import SHOWN_STATES, count_jobs, history_view, job_view, list_jobs
from surefoot.app.store.views.job_lists import position_of

PAGE = 200

REDRIVEN_BEFORE = "It was redriven before, under this key."


@click.group()
def jobs() -> None:
    """Read jobs; cancel, redrive and resubmit them.

    JOB is an id, the start of one, or a short name such as order-7K3F.
    """


@jobs.command("list")
@click.option(
    "--state",
    type=click.Choice([str(state) for state in SHOWN_STATES]),
    help="Only jobs in this state.",
)
@saga_option
@click.option("--tag", help="Only jobs with this tag.")
@click.option(
    "--limit",
    type=click.IntRange(1, PAGE),
    default=20,
    show_default=True,
    help="The most rows to list, newest first.",
)
@after
@as_json
def list_(limit: int, after: str | None, as_json: bool, **filters: str | None) -> None:
    """Show jobs, newest first."""
    rows: list[dict[str, Any]] = []
    with store() as db:
        edge = position_of(db, after) if after is not None else None
        while not rows or (
            edge is not None and len(rows) < limit
        ):  # a page may be short although there is more
            more, edge = list_jobs(db, None, **filters, after=edge, limit=limit - len(rows))
            rows += more
            if edge is None:
                break
        total = count_jobs(db, None, **filters) if edge else None
    if as_json:
        print_json(rows)
        print_rest(len(rows), edge, total, aside=True)
        return
    shown = [
        [r["name"], r["state"], r["outcome"], moment(r["created_at"]), r["summary"], _standing(r)]
        for r in rows
    ]
    print_table(
        ["job", "state", "outcome", "accepted (UTC)", "what", ""], shown, "There are no such jobs."
    )
    print_rest(len(rows), edge, total, aside=False)


def _standing(job: dict[str, Any]) -> str:
    """What a person is asked about, why it turned, or how far it is."""
    asked = job["trouble"] if job["attention"] else None
    return (
        f"{asked['step']}: {asked['message']}"
        if asked
        else job["reason"] or job["progress"]["message"]
    )


@jobs.command()
@job_argument
@as_json
def show(job: str, as_json: bool) -> None:
    """Show a job and its steps."""
    with store() as db:
        view = job_view(db, find_job(db, job), None)
    if as_json:
        print_json(view)
        return
    click.echo(
        f"{view['name']}  {view['id']}{chr(10) + view['summary'] if view['summary'] else ''}"
    )
    click.echo(
        f"{view['state']} ({view['outcome']}){': ' + view['reason'] if view['reason'] else ''}"
    )
    if view["attention"] and view["trouble"]:
        click.echo(f"a person is asked: {_standing(view)}")
    if view["resubmitted_as"]:
        click.echo(f"resubmitted as {view['resubmitted_as']}")
    if (
        view["state"] in (JobState.PENDING, JobState.RUNNING, JobState.WAITING)
        and "cancel" not in view["actions"]
    ):
        click.echo("it is past the point of no return and can no longer be cancelled")
    print_table(
        ["step", "state", "attempts", "lane", "undo", "error"],
        [_step(step) for step in view["steps"]],
        "It has no steps.",
    )


def _step(step: dict[str, Any]) -> list[Any]:
    undo = step["compensation"]
    error = (step["error"] or {}).get("message")
    return [
        step["name"],
        step["state"],
        step["attempts"],
        step["lane"],
        undo and undo["state"],
        error,
    ]


@jobs.command()
@job_argument
@as_json
def why(job: str, as_json: bool) -> None:
    """Explain why a job is in its state, and what happens next."""
    with store() as db:
        told = reasons(db, find_job(db, job), None)
    if as_json:
        print_json(told)
        return
    click.echo(told["sentence"])
    for wait in told.get("waiting_for") or []:
        parts = [
            f"{wait['kind']}: {wait['what']}",
            wait.get("since") and f"since {moment(wait['since'])}",
        ]
        parts.append(wait.get("ends_by") and f"at the latest until {moment(wait['ends_by'])}")
        click.echo("  waits for " + ", ".join(part for part in parts if part))
    if following := told.get("next"):
        click.echo(
            f"  next: {following['what']}"
            + (f" at {moment(following['at'])} UTC" if following.get("at") else "")
        )


@jobs.command()
@job_argument
@as_json
def history(job: str, as_json: bool) -> None:
    """Show everything that happened to a job, in order."""
    with store() as db:
        job_id, items = find_job(db, job), []
        after: int | None = 0
        while after is not None:
            page = history_view(db, job_id, None, after=after)
            items += page["items"]
            after = page["next"]
    if as_json:
        print_json(items)
        return
    shown = [[i["seq"], moment(i["at"]), i["event"], _operation(i), _detail(i)] for i in items]
    print_table(["", "at (UTC)", "event", "operation", ""], shown, "Nothing has happened.")


ENDED_BADLY = (
    HistoryEvent.ATTEMPT_LOST,
    HistoryEvent.ATTEMPT_FAILED,
    HistoryEvent.FAILED,
)  # of these the number is told also when it is the first


def _operation(event: dict[str, Any]) -> str:
    """As book_hotel, or book_hotel.undo."""
    return (
        f"{event['step']}.{event['kind']}"
        if event["kind"] not in (None, Kind.ACTION)
        else event["step"] or ""
    )


def _detail(event: dict[str, Any]) -> str:
    words = (
        [f"attempt {event['attempt']}"]
        if (event["attempt"] or 0) > (0 if event["event"] in ENDED_BADLY else 1)
        else []
    )
    words += [f"by {event['actor']}"] if event["actor"] else []
    for name, value in (event["detail"] or {}).items():
        words.append(
            str(value["message"])
            if isinstance(value, dict) and "message" in value
            else f"{name}: {value}"
        )
    return ", ".join(words)


@jobs.command()
@job_argument
@as_json
def cancel(job: str, as_json: bool) -> None:
    """Ask a job to stop; what was done is undone.

    With --json, `applied` is false if it is too late; the request is then only recorded.
    """
    with store() as db:
        job_id = find_job(db, job)
        decision = decisions.cancel(db, settings(), job_id, shell_actor())
        publish(db, decision.plan)
        view = job_view(db, job_id, None)
    print_done(as_json, decision.message, view | {"landed": decision.applied})


@jobs.command()
@job_argument
@click.option("--reason", required=True, help="Why; it goes into the history.")
@click.option("--key", help="Idempotency key: the same key has the same answer.")
@as_json
def redrive(job: str, reason: str, key: str | None, as_json: bool) -> None:
    """Give a job in attention fresh attempts where it stands."""
    with store() as db:
        job_id = find_job(db, job)
        decision = redrive_job(
            Entrance.of(db, settings()), job_id, Asked(shell_actor(), reason, key)
        )
        publish(db, decision.plan)
        view = job_view(db, job_id, None)
    said = REDRIVEN_BEFORE if isinstance(decision, Submitted) else decision.message
    print_done(as_json, said, view)


@jobs.command()
@job_argument
@click.option("--reason", default="", help="Why; it goes into the history.")
@click.option(
    "--again", is_flag=True, help="Resubmit a completed job: all of it is done once more."
)
@click.option("--key", help="Idempotency key: the same key has the same new job.")
@as_json
def resubmit(job: str, reason: str, again: bool, key: str | None, as_json: bool) -> None:
    """Resubmit an ended job as a new one with the same input.

    At most one resubmission of a job is open or completed. A completed job needs --again.
    """
    with store() as db:
        job_id = find_job(db, job)
        done = resubmit_job(
            Entrance.of(db, settings()), job_id, Asked(shell_actor(), reason, key, again)
        )
        publish(db, done.plan)
        view = job_view(db, done.job_id, None)
    before = ", made before under this key" if done.replayed else ""
    print_done(as_json, f"It is resubmitted as the new job {done.job_id}{before}.", view)


@jobs.command()
@job_argument
@as_json
def watch(job: str, as_json: bool) -> None:
    """Follow a job to its end, step by step. Ends with 0 only when it completed.

    With --json only the job as it ended.
    """
    from surefoot.app.cli.watching import follow, last_view

    with store() as db:
        job_id = find_job(db, job)
        if not as_json:
            raise Exit(follow(db, job_id))
        view = last_view(db, job_id)
    print_json(view)
    raise Exit(0 if view["state"] == JobState.COMPLETED else 1)
