"""Texts of this project, and forms of speech that they do not use: old words, and English that was translated."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Text(NamedTuple):
    """One text and where it stands: `path:line`."""

    where: str
    text: str


# form -> the pattern that finds it; what to write instead is said in docs/glossary.md and in CONTRIBUTING.md
FORMS = {
    "X is not a Y (not: is no Y)": r"(?<!\b[Tt]here )\b(is|are|was|were) no\b(?! (longer|more than)\b)",
    "the noun, not a free relative": r"(?:^|[.:;] )(Who|Whoever|who|whoever) (?!is asked)\w+s\b|\b[Ww]hoever\b",
    "whose, or: some of them (not: of which)": r"\bof which\b",
    "they, or the noun (not: he, his, him)": r"\b([Hh]e|[Hh]is|[Hh]im)\b",
    "our X, their X (not: of ours)": r"\bof (ours|theirs)\b",
    "redrive or resubmit": r"\b([Ss]en[dt]s? back|[Ss]ending back|[Rr]un(s|ning)? again|re-?runs?)\b",
    "discard": r"\b([Ll]a(y|ys|id|ying) (it |them |a letter |LETTER )?down|[Dd]ismiss(ed|es)?)\b",
    "cancel-redrive, unscheduled": r"\bhold-back|\b[Hh](eld|old|olds|olding) back\b",
    "test environment": r"\bdrill.world\b",
    "no_effect": r"\bpure=",
    "batchable, batch": r"\bbrief=|\bPACK_SECONDS\b",
    "on_unknown_undo": r"\bsettle=",
    "heartbeat_timeout": r"\bstall_timeout\b(?!_s)",
    "effect_reader, effect_lister, EffectReport": r"\.effects\(|\ball_effects\b|\bSeen for\b",
    "refused_above": r"\bneeds_approval_above\b",
    "report a finding by its shown word": r"\b(unaskable|missing_here|missing_there)\b",
}
_FORMS = {name: re.compile(pattern) for name, pattern in FORMS.items()}
_ANY = re.compile("|".join(FORMS.values()))
_COMMENT = re.compile(r"(?<!\S)# .*$")
_TEMPLATE_CODE = re.compile(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}|<[^>]*>", re.DOTALL)


def broken(text: str) -> list[str]:
    """The forms that a text breaks."""
    if not _ANY.search(text):
        return []
    return [name for name, pattern in _FORMS.items() if pattern.search(text)]


def sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        place = ROOT / folder
        yield from [place] if place.is_file() else sorted(place.rglob("*.py"))


def _docstrings(nodes: list[ast.AST]) -> Iterator[ast.Constant]:
    for node in nodes:
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                yield first.value


@functools.cache
def _parsed(path: Path) -> tuple[str, list[ast.AST], list[ast.Constant]]:
    """The source of a file, its nodes, and those that are docstrings: read once for all tests."""
    source = path.read_text(encoding="utf-8")
    nodes = list(ast.walk(ast.parse(source)))
    return source, nodes, list(_docstrings(nodes))


def messages(path: Path) -> Iterator[Text]:
    """String literals of more than one word: what a program says. Pieces of one f-string are one text."""
    _, nodes, docstrings = _parsed(path)
    aside = {id(node) for node in docstrings}
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            aside |= {id(one) for one in node.values}
            text = "".join(
                one.value if isinstance(one, ast.Constant) else "…" for one in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = "" if id(node) in aside else node.value
        else:
            continue
        if " " in text.strip():
            yield Text(f"{path.relative_to(ROOT)}:{node.lineno}", text)


def remarks(path: Path) -> Iterator[Text]:
    """Docstrings and comments: what a reader of the code is told."""
    source, _, docstrings = _parsed(path)
    name = path.relative_to(ROOT)
    for node in docstrings:
        if isinstance(node.value, str):
            yield Text(f"{name}:{node.lineno}", node.value)
    for number, line in enumerate(source.splitlines(), 1):
        if comment := _COMMENT.search(line):
            yield Text(f"{name}:{number}", comment[0])


def pages() -> Iterator[Text]:
    """What the templates say between their tags, line by line."""
    for path in sorted((ROOT / "web/templates").glob("*.html")):
        text = _TEMPLATE_CODE.sub(
            lambda found: " … " + "\n" * found[0].count("\n"), path.read_text(encoding="utf-8")
        )
        for number, line in enumerate(text.splitlines(), 1):
            if " " in line.strip():
                yield Text(f"{path.relative_to(ROOT)}:{number}", line.strip())
