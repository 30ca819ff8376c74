"""`surefoot sagas`: what can be run."""

from __future__ import annotations

from typing import Any

import rich_click as click
from click.exceptions import Exit

from surefoot.app.access.principal import shell_actor
from surefoot.app.cli import completing
from surefoot.app.cli.common import as_json, print_json, print_table
from surefoot.app.cli.opening import store
from surefoot.app.config import settings
from surefoot.app.errors import DefinitionError, NotFound
from surefoot.app.saga.lint_warnings import advice
from surefoot.app.saga.naming import did_you_mean
from surefoot.app.saga.registry import Registry
from surefoot.app.store import catalogue
from surefoot.app.store.definitions import current_definition
from surefoot.app.store.session import reading
from surefoot.app.store.views import saga_view, sagas_view, stats
from surefoot.app.store.views.names import stamp


@click.group()
def sagas() -> None:
    """The sagas in the catalogue: show, check and retire them.

    Each worker writes there what it can run.
    """


@sagas.command("list")
@as_json
def list_(as_json: bool) -> None:
    """Show every saga's current version."""
    with store() as db:
        view = sagas_view(db)
    if as_json:
        print_json(view)
        return
    rows = [
        [s["name"], s["version"], s["digest"][:12], " → ".join(s["steps"])] for s in view["items"]
    ]
    print_table(
        ["saga", "version", "digest", "steps"],
        rows,
        "No saga is known yet. Start a worker that has one: surefoot worker",
    )


@sagas.command()
@click.argument("name", shell_complete=completing.sagas)
@as_json
def show(name: str, as_json: bool) -> None:
    """Show a saga's steps, how each is undone, and its input."""
    with store() as db:
        view = saga_view(db, name)
    if as_json:
        print_json(view)
        return
    undos = {undo["step"]: undo for undo in view["compensations"]}
    rows = []
    for step in view["graph"]["steps"]:
        undo = undos[step["name"]]
        how = f"{undo['undo']} ({undo['fidelity']})" if undo["undo"] else f"none: {undo['why']}"
        rows.append(
            [
                step["name"],
                step["lane"],
                ", ".join(step["after"]),
                how,
                step["attempts"],
                f"{step['timeout_seconds']:g} s",
            ]
        )
    click.echo(f"{view['name']} version {view['version']}, digest {view['digest']}")
    print_table(
        ["step", "lane", "after", "undone by", "attempts", "timeout"], rows, "It has no steps."
    )
    required = set(view["input"].get("required", ()))
    fields = [
        [n, f.get("type"), "yes" if n in required else "", _told(f)]
        for n, f in view["input"].get("properties", {}).items()
    ]
    print_table(["input", "type", "required", ""], fields, "It takes no input.")


@sagas.command()
@click.argument("name", shell_complete=completing.sagas)
@as_json
def versions(name: str, as_json: bool) -> None:
    """Show every definition of a saga that some process has had, the one that new jobs get first."""
    with store() as db, reading(db) as connection:
        rows = [row._asdict() for row in catalogue.versions(connection, name)]
    if not rows:
        raise NotFound(f"no saga is called {name!r}")
    for row in rows:
        row["registered_at"], row["retired_at"] = (
            stamp(row["registered_at"]),
            stamp(row["retired_at"]),
        )
    if as_json:
        print_json({"items": rows})
        return
    told = [
        [r["version"], r["digest"], r["registered_at"], "yes" if r["live"] else "no", _retired(r)]
        for r in rows
    ]
    print_table(["version", "digest", "first seen", "a worker has it", "retired"], told, "")


def _retired(row: dict[str, Any]) -> str:
    return (
        f"{row['retired_at']} by {row['retired_by']}: {row['retired_why']}"
        if row["retired_at"]
        else ""
    )


@sagas.command()
@click.argument("name", shell_complete=completing.sagas)
@click.argument("which", metavar="VERSION|DIGEST")
@click.option("--reason", required=True, help="Why; it is kept beside the definition.")
@click.option("--back", is_flag=True, help="Take a version back into use.")
@as_json
def retire(name: str, which: str, reason: str, back: bool, as_json: bool) -> None:
    """Pin no new job to this version, as after a deploy that was rolled back. Jobs that are pinned
    to it stay so.
    """
    with store() as db:
        change = catalogue.bring_back if back else catalogue.retire
        digests = change(db, name, which, actor=shell_actor(), why=reason)
        with reading(db) as connection:
            pinned = {
                v.digest: v.jobs for v in stats.open_versions(connection) if v.digest in digests
            }
            current = current_definition(connection, name)
    now_current = f"version {current.version} ({current.digest})" if current else None
    if as_json:
        print_json(
            {
                "saga": name,
                "digests": digests,
                "retired": not back,
                "open_jobs": sum(pinned.values()),
                "current": now_current,
            }
        )
        return
    done = "is in use again" if back else "is retired"
    click.echo(
        f"{name} {which} ({', '.join(digests)}) {done}. New jobs get {now_current or 'no version: none is taken'}."
    )
    if pinned and not back:
        click.echo(
            f"{sum(pinned.values())} open jobs are pinned to it: run a worker with its code until they have ended."
        )


@sagas.command()
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=completing.local_sagas)
@click.option("--strict", is_flag=True, help="End with 1 for advice, too.")
@as_json
def lint(names: tuple[str, ...], strict: bool, as_json: bool) -> None:
    """Check the sagas whose code is here (SUREFOOT_SAGAS and installed packages), all or those
    named. Needs no store.

    Mistakes are what every process refuses to start with: ends with 1. Advice is what runs and
    surprises somebody later.
    """
    mistakes: list[str] = []
    try:
        known = Registry.load(settings().saga_modules).all()
    except DefinitionError as error:
        mistakes, known = error.message.splitlines(), ()
    unknown = sorted(set(names) - {saga.name for saga in known})
    if unknown and not mistakes:
        raise NotFound(
            f"no saga here is called {unknown[0]!r}.{did_you_mean(unknown[0], [saga.name for saga in known])}"
        )
    meant = [saga for saga in known if not names or saga.name in names]
    found = {saga: advice(saga, settings().lane_limit_seconds) for saga in meant}
    if as_json:
        checked = [
            {
                "name": saga.name,
                "version": saga.version,
                "advice": [
                    {"where": a.where, "step": a.step or None, "says": a.says} for a in told
                ],
            }
            for saga, told in found.items()
        ]
        print_json({"mistakes": mistakes, "sagas": checked})
    else:
        for line in mistakes:
            click.echo(line)
        for saga, told in found.items():
            for one in told:
                click.echo(
                    f"{one.where}: {f'step {one.step}' if one.step else f'saga {saga.name}'} {one.says}"
                )
        if not mistakes:
            count = sum(map(len, found.values()))
            click.echo(
                f"{len(meant)} saga{'s' * (len(meant) != 1)}, no mistakes, {count or 'no'} piece{'s' * (count != 1)} of advice."
            )
    raise Exit(1 if mistakes or (strict and any(found.values())) else 0)


def _told(field: dict[str, object]) -> str:
    words = [str(field["description"])] if field.get("description") else []
    if field.get("writeOnly"):
        words.append("secret")
    if "x-refused-above" in field:
        words.append(f"at most {field['x-refused-above']}")
    return "; ".join(words)
