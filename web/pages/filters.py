"""What templates may say besides Jinja's own: words, marks and times."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from flask import Flask, g
from markupsafe import Markup, escape

from surefoot.app.access.principal import Principal
from surefoot.app.rules.states import JobState
from surefoot.web.address import base_url
from surefoot.web.pages.letter_words import given_up, on_button, what_it_does

WORDS = {
    "pending": "not yet",
    "not_started": "not started",
    "not_needed": "not needed",
    "undone_partly": "undone in part",
}
RELATIVE = {False: Markup(" data-relative"), True: Markup(' data-relative="ahead"')}
MARKS = {
    "completed": "✓", "done": "✓",
    "running": "●", "waiting": "◷", "pending": "·", "queued": "·",
    "compensating": "↩", "undone": "↩", "undone_partly": "↩", "cancelled": "↩", "waived": "~",
    "attention": "!", "failed": "✕", "stopped": "■",
    "skipped": "-", "not_started": "-", "not_needed": "-",
}  # fmt: skip


def words(state: str) -> str:
    """A state as people say it."""
    return WORDS.get(state, state.replace("_", " "))


def shown(job: Mapping[str, Any]) -> str:
    """The word for where a job stands.

    One that failed and is undone is not called failed: nothing is left of it.
    """
    state = str(job["state"])
    if state == JobState.PENDING:
        return "accepted"
    return str(job["outcome"]) if state == JobState.FAILED else state


def pretty(value: Any) -> str:
    """JSON for people to read; the template escapes it."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def coded(text: str) -> Markup:
    """Text with what stands between `backticks` as code."""
    parts = [
        Markup("<code>{}</code>").format(part) if n % 2 else escape(part)
        for n, part in enumerate(text.split("`"))
    ]
    return Markup("").join(parts)


def mark(state: str) -> str:
    """A sign for a state, so that colour is never the only difference."""
    return MARKS.get(state, "·")


def moment(stamp: str | None, *, bare: bool = False, ahead: bool = False) -> Markup:
    """A <time>: date, time of day and UTC, which the page's script turns into "3 s ago".

    `bare`: into date and time of the reader's own zone, which it names, instead;
    `ahead`: expected, so that once it is past it reads "any moment".
    """
    if not stamp:
        return Markup("&ndash;")
    time = datetime.fromisoformat(stamp).astimezone(UTC)
    text = f"{time:%Y-%m-%d %H:%M:%S} UTC"
    relative = Markup("") if bare else RELATIVE[ahead]
    return Markup('<time datetime="{}" title="{}"{}>{}</time>').format(stamp, text, relative, text)


def lasted(start: str | None, end: str | None) -> str:
    """How long, as `0.4 s`, `12 s` or `3 min 5 s`; nothing while it lasts."""
    if not start or not end:
        return ""
    seconds = max(
        0.0, (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
    )
    if seconds < 10:
        return f"{seconds:.1f} s"
    return (
        f"{seconds:.0f} s" if seconds < 120 else f"{int(seconds // 60)} min {int(seconds % 60)} s"
    )


def install(app: Flask) -> None:
    app.jinja_env.filters.update(
        words=words, mark=mark, shown=shown, coded=coded, pretty=pretty, moment=moment
    )
    app.jinja_env.filters.update(given_up=given_up, on_button=on_button, what_it_does=what_it_does)
    app.jinja_env.globals.update(lasted=lasted, base_url=base_url)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True

    @app.context_processor
    def _who() -> dict[str, Principal | None]:
        return {"who": g.get("principal")}
