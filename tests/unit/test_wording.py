"""What users read is said in the field's words and in plain English: see tests/support/wording.py for the forms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import rich_click as click

from surefoot.app.cli import COMMANDS
from surefoot.app.cli.group import Commands
from tests.support.wording import FORMS, Text, broken, messages, pages, remarks, sources

# Stored words, which stay: (file, form) -> why
STAYS = {
    (
        "app/store/tables/reconciliation.py",
        "report a finding by its shown word",
    ): "a constraint of stored rows",
    ("app/engine/jobs/submit.py", "redrive or resubmit"): "part of a fingerprint that is stored",
}
# Docstrings and comments that still break a form. A number may only go down: clean a text, then lower it.
STILL: dict[str, int] = {}


def of_users() -> Iterator[Text]:
    for path in sources("app", "web", "workers", "surefoot/__init__.py"):
        if "migrations" not in path.parts:
            yield from messages(path)


def of_commands(group: click.Command, name: str = "surefoot") -> Iterator[Text]:
    """The help of a command, of its options, and of the commands below it."""
    yield Text(name, group.help or "")
    for parameter in group.params:
        yield Text(f"{name} {parameter.name}", getattr(parameter, "help", None) or "")
    if isinstance(group, click.Group):
        for word in group.list_commands(click.Context(group)):
            below = group.load(word) if isinstance(group, Commands) else group.commands[word]
            if below is not None:
                yield from of_commands(below, f"{name} {word}")


def wrong(texts: Iterator[Text]) -> list[str]:
    """`where: form: text`, of those that break a form and are not stored words."""
    return [
        f"{text.where}: {form}: {' '.join(text.text.split())[:120]}"
        for text in texts
        for form in broken(text.text)
        if (text.where.partition(":")[0], form) not in STAYS
    ]


def test_given_messages_of_the_code_then_they_are_in_the_fields_words() -> None:
    assert wrong(of_users()) == []


def test_given_the_help_of_each_command_then_it_is_in_the_fields_words() -> None:
    found = list(of_commands(Commands(COMMANDS)))
    assert len(found) > 100
    assert wrong(iter(found)) == []


def test_given_the_pages_then_they_are_in_the_fields_words() -> None:
    found = list(pages())
    assert len(found) > 50
    assert wrong(iter(found)) == []


def test_given_docstrings_and_comments_then_no_folder_has_more_lapses_than_before() -> None:
    found: Counter[str] = Counter()
    for path in sources("app", "web", "workers"):
        for text in remarks(path):
            found["/".join(text.where.split("/")[:2])] += len(broken(text.text))
    worse = {folder: count for folder, count in found.items() if count > STILL.get(folder, 0)}
    better = {folder: most for folder, most in STILL.items() if found[folder] < most}
    assert (worse, better) == ({}, {}), "clean what is worse; lower STILL where it is better"


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("'soon' is no duration", "X is not a Y (not: is no Y)"),
        ("Whoever asks first has it", "the noun, not a free relative"),
        ("Who waits stands in line", "the noun, not a free relative"),
        ("pairs of which one is later", "whose, or: some of them (not: of which)"),
        ("what he can do", "they, or the noun (not: he, his, him)"),
        ("a mistake of ours", "our X, their X (not: of ours)"),
        ("It was sent back.", "redrive or resubmit"),
        ("Lay it down", "discard"),
    ],
)
def test_given_a_form_that_is_refused_when_said_then_it_is_found(text: str, form: str) -> None:
    assert form in broken(text)


@pytest.mark.parametrize(
    "text",
    ["There is no such job.", "It is no longer open.", "Cancel, redrive or resubmit it.", "The"],
)
def test_given_plain_english_then_nothing_is_found(text: str) -> None:
    assert broken(text) == []


def test_given_exceptions_then_each_is_still_needed() -> None:
    used: set[Any] = {
        (text.where.partition(":")[0], form) for text in of_users() for form in broken(text.text)
    }
    assert set(STAYS) <= used
    assert {form for _, form in STAYS} <= set(FORMS)
