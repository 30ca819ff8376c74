"""Turning the pages of a list: which rows are seen, of how many, and the way back and forth.

A cursor leads on only. So the address also has the cursors that led here, and the number of its
first row: what they say is shown and never asked of the store.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import request, url_for

from surefoot.app.store.views.counts import Count

PAGE_ROWS = 50  # of the lists
TRAIL_MOST = 10  # pages that one can turn back
FIRST_PAGE = "first"
BETWEEN = "~"  # no cursor contains it
ROWS_MOST = 10**9


@dataclass(frozen=True)
class Turned:
    """`told`: as `51–100 of 301`; addresses are None where there is nothing to turn to."""

    told: str
    newest: str | None
    newer: str | None
    older: str | None


def turned(
    filters: Mapping[str, Any], rows: int, following: str | None, total: Count | None
) -> Turned:
    """Of the page that was asked for. `rows`: those on it; `following`: the next one's cursor."""
    here: Any = request.endpoint
    first = _first_row()
    trail = [one for one in request.args.get("trail", "").split(BETWEEN) if one][-TRAIL_MOST:]
    cursor = request.args.get("cursor")
    older = None
    if following is not None:
        path = BETWEEN.join([*trail, cursor or FIRST_PAGE][-TRAIL_MOST:])
        more: dict[str, Any] = {"cursor": following, "from": first + rows, "trail": path}
        older = url_for(here, **filters, **more)
    return Turned(
        told=_told(first, rows, following is not None, total),
        newest=url_for(here, **filters) if cursor is not None else None,
        newer=_newer(here, filters, trail, first) if cursor is not None and trail else None,
        older=older,
    )


def _newer(here: str, filters: Mapping[str, Any], trail: list[str], first: int) -> str:
    if trail[-1] == FIRST_PAGE:
        return url_for(here, **filters)
    before: dict[str, Any] = {
        "cursor": trail[-1],
        "from": max(1, first - PAGE_ROWS),
        "trail": BETWEEN.join(trail[:-1]) or None,
    }
    return url_for(here, **filters, **before)


def _first_row() -> int:
    text = request.args.get("from", "")
    return min(int(text), ROWS_MOST) if text.isascii() and text.isdigit() and len(text) <= 9 else 1


def _told(first: int, rows: int, more: bool, total: Count | None) -> str:
    if not rows:
        return ""
    shown = f"{first:,}–{first + rows - 1:,}" if rows > 1 or first > 1 else "1"
    if total is not None:
        return f"{shown} of {total.shown}"
    return f"{shown}, and there are more" if more else shown
