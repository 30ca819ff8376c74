"""The API's document for people to read, made on the server from the same document that programs read. No script is needed."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, make_response, render_template

from web.address import base_url
from web.api.auth import open_to_all
from web.api.document import the_document

routes = Blueprint("docs", __name__)
EXAMPLE_ID = "019ab3c0-0000-7000-8000-000000000000"
VALUES = {"job_id": EXAMPLE_ID, "letter_id": EXAMPLE_ID, "message_id": EXAMPLE_ID, "step": "charge_card", "name": "order"}


@dataclass(frozen=True)
class Entry:
    """An operation as the page shows it. `body`: the name of its body's schema, "" for none."""

    method: str
    path: str
    said: dict[str, Any]
    body: str
    curl: str

    @property
    def anchor(self) -> str:
        return str(self.said["operationId"])


@routes.get("/docs")
@open_to_all
def show() -> Response:
    document = the_document()
    page = render_template(
        "docs.html",
        info=document["info"],
        groups=[(group, entries_of(document, group["name"], base_url())) for group in document["tags"]],
        schemas=document["components"]["schemas"],
        headers=document["components"]["headers"],
        scheme=document["components"]["securitySchemes"]["bearer"],
    )
    return make_response(page)


def entries_of(document: dict[str, Any], group: str, base: str) -> list[Entry]:
    """The operations of a group, in the document's order."""
    return [
        Entry(method.upper(), path, said, _body(said), _curl(document, method.upper(), path, said, base))
        for path, methods in document["paths"].items()
        for method, said in methods.items()
        if group in said["tags"]
    ]


def _body(said: dict[str, Any]) -> str:
    if "requestBody" not in said:
        return ""
    return str(said["requestBody"]["content"]["application/json"]["schema"]["$ref"]).rpartition("/")[2]


def _curl(document: dict[str, Any], method: str, path: str, said: dict[str, Any], base: str) -> str:
    """A command that works as it stands, but for ids."""
    for name, value in VALUES.items():
        path = path.replace(f"{{{name}}}", value)
    words = [f"curl -sS {'' if method == 'GET' else f'-X {method} '}{shlex.quote(base + path)}"]
    if said.get("security") != []:
        words.append('-H "Authorization: Bearer $SUREFOOT_API_KEY"')
    if any(parameter["name"] == "Idempotency-Key" for parameter in said["parameters"]):
        words.append('-H "Idempotency-Key: $(uuidgen)"')
    for example in document["components"]["schemas"].get(_body(said), {}).get("examples", ()):
        words += ["-H 'Content-Type: application/json'", f"-d {shlex.quote(json.dumps(example))}"]
    return " \\\n  ".join(words)
