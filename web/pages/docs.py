"""The API's document for people to read, made on the server from the same document that programs
read. No script is needed.

It costs a sixth of a second to render and needs no key, so it is rendered once, with a mark where
the address of this server goes; requests get that text with their address in it.
"""

from __future__ import annotations

import json
import shlex
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Flask, Response, current_app, render_template
from markupsafe import escape

from surefoot.web.address import base_url
from surefoot.web.api.auth import open_to_all
from surefoot.web.api.document import the_document
from surefoot.web.kept import Kept

routes = Blueprint("docs", __name__)
EXTENSION = "surefoot.docs"
MARK = "https://address-of-this-server.invalid"
ADDRESSES_KEPT = (
    4  # a server has one with SUREFOOT_PUBLIC_URL, and as many as it is asked by without
)
EXAMPLE_ID = "019ab3c0-0000-7000-8000-000000000000"
VALUES = dict.fromkeys(("job_id", "letter_id", "message_id", "finding_id"), EXAMPLE_ID)
VALUES |= {"step": "charge_card", "name": "order"}


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


class Page:
    """The page for each address that was asked for lately. One for an application; its threads
    share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._text = ""
        self._kept: OrderedDict[str, Kept] = OrderedDict()

    def of(self, base: str) -> Kept:
        with self._lock:
            found = self._kept.get(base)
            if found is None:
                self._text = self._text or _rendered()
                raw = self._text.replace(MARK, str(escape(base))).encode()
                found = self._kept[base] = Kept.of(raw, "text/html")
            self._kept.move_to_end(base)
            while len(self._kept) > ADDRESSES_KEPT:
                self._kept.popitem(last=False)
        return found


def install(app: Flask) -> None:
    app.extensions[EXTENSION] = Page()


@routes.get("/docs")
@open_to_all
def show() -> Response:
    page: Page = current_app.extensions[EXTENSION]
    return page.of(base_url()).answer()


def _rendered() -> str:
    document = the_document()
    return render_template(
        "docs.html",
        info=document["info"],
        groups=[(group, entries_of(document, group["name"], MARK)) for group in document["tags"]],
        schemas=document["components"]["schemas"],
        headers=document["components"]["headers"],
        scheme=document["components"]["securitySchemes"]["bearer"],
    )


def entries_of(document: dict[str, Any], group: str, base: str) -> list[Entry]:
    """The operations of a group, in the document's order."""
    return [
        Entry(
            method.upper(),
            path,
            said,
            _body(said),
            _curl(document, method.upper(), path, said, base),
        )
        for path, methods in document["paths"].items()
        for method, said in methods.items()
        if group in said["tags"]
    ]


def _body(said: dict[str, Any]) -> str:
    if "requestBody" not in said:
        return ""
    return str(said["requestBody"]["content"]["application/json"]["schema"]["$ref"]).rpartition(
        "/"
    )[2]


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
