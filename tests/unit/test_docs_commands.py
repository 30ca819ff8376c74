"""Every command that the documents show is one, with every option they give it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click
import pytest

from surefoot.app.cli import COMMANDS
from surefoot.app.cli.group import Commands
from tests.support.commands import loaded
from tests.support.documents import name_of, pages

_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`((?:surefoot|\./run) [^`]+)`")
OF_THE_DOOR = ("test", "check", "which", "help")  # of ./run alone
_OURS = re.compile(r"(?:^|.*[\s;(])(?:surefoot|\./run)(?: (.*)|$)")


def lines() -> Iterator[tuple[str, str]]:
    """(page, command line) of each command, without what the shell does with it."""
    for page in pages():
        text = page.read_text(encoding="utf-8")
        shown = [
            line for block in _BLOCK.findall(text) for line in block.splitlines()
        ] + _INLINE.findall(text)
        for line in shown:
            if found := _OURS.match(re.split(r"\s#|\s[|>]\s", line)[0]):
                yield name_of(page), (found[1] or "").strip()


@pytest.mark.parametrize(("page", "line"), sorted(set(lines())))
def test_given_command_of_a_document_when_looked_up_then_it_is_there_with_its_options(
    page: str, line: str
) -> None:
    words = shlex.split(re.sub(r"[\[\]|…]", " ", line))
    if not words or words[0] in OF_THE_DOOR:
        return
    command: click.Command = Commands(COMMANDS)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = loaded(command, words[0])
        assert found is not None, f"{page}: {line}: there is no command {words[0]}"
        command, words = found, words[1:]
    known = {
        option
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known | {
        "--help"
    }, f"{page}: {line}"
