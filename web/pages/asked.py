"""What the address of a list asks for. A filter that means nothing here is a fault that the page
tells: ignored, it would show everything as if it were filtered.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from flask import request

from surefoot.app.saga.naming import did_you_mean

NAME_CHARACTERS = 64
SHOWN_CHARACTERS = 40  # of a value or a name that a fault repeats
BESIDE = ("cursor", "said", "from", "trail")  # that any list may have beside its filters


@dataclass(frozen=True)
class Asked:
    """`filters`: those that say something and are known; `faults`: a sentence for each other one."""

    filters: dict[str, str]
    faults: list[str]


def asked(known: Mapping[str, Collection[str] | None]) -> Asked:
    """The filters of this address. `known`: each name, and the words it takes (None: any text)."""
    filters: dict[str, str] = {}
    faults = [
        f"There is no filter {_shown(name)}.{did_you_mean(name[:NAME_CHARACTERS], known)}"
        for name in request.args
        if name not in known and name not in BESIDE
    ]
    for name, words in known.items():
        text = request.args.get(name, "").strip()
        if not text:
            continue
        if len(text) > NAME_CHARACTERS or not text.isprintable():
            faults.append(f"The filter {name} takes at most {NAME_CHARACTERS} visible characters.")
        elif words is not None and text not in words:
            faults.append(f"{_shown(text)} is not a {name} here.{did_you_mean(text, words)}")
        else:
            filters[name] = text
    return Asked(filters, faults)


def _shown(text: str) -> str:
    short = text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"
    return f"“{short}”"
