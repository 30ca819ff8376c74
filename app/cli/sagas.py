"""`surefoot sagas`: what can be run."""

from __future__ import annotations

import rich_click as click

from app.cli.common import as_json, print_json, print_table, store
from app.store.views import saga_view, sagas_view


@click.group()
def sagas() -> None:
    """The sagas in the store's catalogue: each worker writes there what it can run."""


@sagas.command("list")
@as_json
def list_(as_json: bool) -> None:
    """Show every saga's current version."""
    with store() as db:
        view = sagas_view(db)
    if as_json:
        print_json(view)
        return
    rows = [[s["name"], s["version"], s["digest"][:12], " → ".join(s["steps"])] for s in view["items"]]
    print_table(["saga", "version", "digest", "steps"], rows, "No saga is known yet. Start a worker that has one: surefoot worker")


@sagas.command()
@click.argument("name")
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
        rows.append([step["name"], step["lane"], ", ".join(step["after"]), how, step["attempts"], f"{step['timeout_seconds']:g} s"])
    click.echo(f"{view['name']} version {view['version']}, digest {view['digest']}")
    print_table(["step", "lane", "after", "undone by", "attempts", "timeout"], rows, "It has no steps.")
    required = set(view["input"].get("required", ()))
    fields = [[n, f.get("type"), "yes" if n in required else "", _told(f)] for n, f in view["input"].get("properties", {}).items()]
    print_table(["input", "type", "required", ""], fields, "It takes no input.")


def _told(field: dict[str, object]) -> str:
    words = [str(field["description"])] if field.get("description") else []
    if field.get("writeOnly"):
        words.append("secret")
    if "x-approval-above" in field:
        words.append(f"above {field['x-approval-above']}: an approval is needed")
    return "; ".join(words)
