"""docs/tutorial.md as a reader follows it: files to write, commands to run, output to compare."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.documents import DOCS

_BLOCK = re.compile(r"^```(python|sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# (at the end of )?(party/\w+\.py)(, up to read\(\))?\n")
_VARIES = [  # what differs from reader to reader, and what stands for it
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f-]{27}\b"), "ID"),
    (re.compile(r"\bparty-[0-9A-Z]{4}\b"), "NAME"),
    (re.compile(r"(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d"), "TIME"),
    (re.compile(r"http://127\.0\.0\.1:\d+"), "URL"),
    (re.compile(r"\bcli:\w+"), "USER"),
    (re.compile(r"\S+/party/"), "FOLDER/"),
    (re.compile(r"─+"), ""),
    (re.compile(r"\s+"), " "),
]


@dataclass(frozen=True)
class File:
    """A file, or a part of one, that the reader writes."""

    path: str
    text: str
    appended: bool
    up_to_read: bool

    def write(self, folder: Path) -> None:
        path = folder / self.path
        path.parent.mkdir(exist_ok=True)
        (path.parent / "__init__.py").touch()
        text = self.text
        if self.appended:
            text = f"{path.read_text()}\n{text}"
        elif self.up_to_read:
            text = f"{text}\n\n{path.read_text()[path.read_text().index('def read') :]}"
        path.write_text(text)


@dataclass(frozen=True)
class Command:
    """A line that the reader types. `output`: the lines to compare, [] where the page shows none."""

    line: str
    output: list[str]


def steps() -> Iterator[File | Command]:
    """Everything that the page tells its reader to do, in its order."""
    blocks = _BLOCK.findall((DOCS / "tutorial.md").read_text(encoding="utf-8"))
    for number, (kind, text) in enumerate(blocks):
        if kind == "python":
            found = _FILE.match(text)
            assert found is not None, f"a sample without the name of its file: {text}"
            yield File(found[2], text, appended=bool(found[1]), up_to_read=bool(found[3]))
        if kind == "sh":
            *before, last = text.splitlines()
            shown = blocks[number + 1] if number + 1 < len(blocks) else ("", "")
            yield from (Command(line, []) for line in before)
            yield Command(last, shown[1].splitlines() if shown[0] == "text" else [])


def said_alike(lines: list[str]) -> list[str]:
    """The lines as every reader sees them, without those that are empty."""
    for pattern, word in _VARIES:
        lines = [pattern.sub(word, line) for line in lines]
    return [line.strip() for line in lines if line.strip()]


def missing_in(output: str, shown: list[str]) -> list[str]:
    """Lines of the page that the output does not have in this order; `…` stands for any lines."""
    left, missing, anywhere = said_alike(output.splitlines()), [], False
    for line in said_alike(shown):
        if line == "…":
            anywhere = True
            continue
        at = left.index(line) if line in left else -1
        if at < 0 or (at > 0 and not anywhere):
            missing.append(line)
            continue
        left, anywhere = left[at + 1 :], False
    return missing
