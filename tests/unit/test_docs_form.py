"""The form of the documents: one sentence a line, and none of the words that were refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.documents import name_of, pages

_FENCE = re.compile(r"^ *```")
_BLOCK = re.compile(r"^\s*($|[-*] |\d+\. |[#|<>]|!\[)")  # begins something of its own
_END = re.compile(r"[.:;?!…,](\*\*|[\"'”)`\]*_])*$|\*\*$")
REFUSED = {
    "write: X is not Y, or X has no Y": re.compile(
        r"(?<!there )\b(?:is|are|was|were) no\b(?! (?:longer|more)\b)", re.IGNORECASE
    ),
    "name the person or the process": re.compile(r"\bwhoever\b", re.IGNORECASE),
    "begin with the noun": re.compile(r"(?:^|[.:;] )Who (?:has|is|asks|comes|waits|reads)\b"),
    "a person is not he": re.compile(r"\b(?:he|his|him|himself)\b", re.IGNORECASE),
    "write: our, their": re.compile(r"\bof (?:ours|theirs)\b"),
}
PAGES = [pytest.param(page, id=name_of(page)) for page in pages()]


def prose(page: Path) -> Iterator[tuple[int, str]]:
    """(number, line without code in it) of every line outside blocks of code."""
    code = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if _FENCE.match(line):
            code = not code
        elif not code:
            yield number, re.sub(r"`[^`]*`", "`", line)


@pytest.mark.parametrize("page", PAGES)
def test_given_a_page_then_no_refused_word_is_in_it(page: Path) -> None:
    found = [
        f"{number}: {advice}: {line}"
        for number, line in prose(page)
        for advice, words in REFUSED.items()
        if words.search(line)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("page", PAGES)
def test_given_a_page_then_each_line_ends_where_a_sentence_does(page: Path) -> None:
    lines = list(prose(page))
    wrapped = [
        f"{number}: {line}"
        for (number, line), (after, following) in pairwise(lines)
        if after == number + 1 and not _BLOCK.match(following)
        if not re.match(r"\s*($|[#|<>]|!\[)", line) and not _END.search(line)
    ]
    assert not wrapped, "\n".join(wrapped)
