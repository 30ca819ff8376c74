"""The files of web/static: read once, and addressed by what is in them, so that a browser asks for
each once."""

from __future__ import annotations

import mimetypes
from pathlib import Path
from typing import Any

from flask import Flask, Response, request

from surefoot.app.errors import NotFound
from surefoot.web.kept import ASK_FIRST, FOREVER, Kept

ENDPOINT = "static"
VERSION = "v"


def install(app: Flask) -> None:
    """In place of Flask's own route, under its name."""
    folder = Path(str(app.static_folder))
    files = {
        path.relative_to(folder).as_posix(): _kept(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }

    def show(filename: str) -> Response:
        found = files.get(filename)
        if found is None:
            raise NotFound("There is nothing at this address.")
        return found.answer(
            FOREVER if request.args.get(VERSION) == found.fingerprint else ASK_FIRST
        )

    app.view_functions[ENDPOINT] = show

    @app.url_defaults
    def name_the_version(endpoint: str, values: dict[str, Any]) -> None:
        found = files.get(str(values.get("filename"))) if endpoint == ENDPOINT else None
        if found is not None:
            values.setdefault(VERSION, found.fingerprint)


def _kept(path: Path) -> Kept:
    return Kept.of(
        path.read_bytes(), mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    )
