"""The documents as a reader meets them: the site builds, every link leads somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from markdown.extensions.toc import slugify

from tests.support.documents import DOOR, ROOT

_CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_PATH = re.compile(r"`([\w.*/-]+(?:/|\.(?:py|md|cfg|txt)))`")


def links() -> Iterator[tuple[str, str]]:
    """(file at the front door, where a link of it leads), without links to other sites."""
    for name in DOOR:
        text = _CODE.sub("", (ROOT / name).read_text(encoding="utf-8"))
        yield from ((name, to) for to in _LINK.findall(text) if "://" not in to)


def anchors(page: Path) -> set[str]:
    text = _CODE.sub("", page.read_text(encoding="utf-8"))
    return {slugify(re.sub(r"[`*]", "", heading), "-") for heading in _HEADING.findall(text)}


def test_given_the_documents_when_the_site_is_built_then_no_link_or_anchor_is_broken(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(tmp_path)]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "operate" / "runbook" / "index.html").is_file()


@pytest.mark.parametrize(("name", "to"), sorted(set(links())))
def test_given_a_link_at_the_front_door_when_followed_then_it_leads_somewhere(
    name: str, to: str
) -> None:
    path, _, anchor = to.partition("#")
    page = ROOT / path if path else ROOT / name
    assert page.exists(), f"{name}: {to}"
    assert not anchor or anchor in anchors(page), f"{name}: {to}"


def test_given_the_paths_that_contributors_are_sent_to_then_each_is_there() -> None:
    named = _PATH.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert len(named) > 20
    missing = [
        path
        for path in named
        if not any(ROOT.glob(path)) and not any(ROOT.glob(f"tests/**/{path}"))
    ]
    assert missing == []


def test_given_the_hooks_of_a_commit_then_each_is_a_tool_of_this_environment() -> None:
    found = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repo["repo"] for repo in found["repos"]] == ["local"]  # nothing is downloaded
    hooks = found["repos"][0]["hooks"]
    assert {hook["language"] for hook in hooks} == {"system"}
    tools = {Path(hook["entry"].split()[0]) for hook in hooks}
    assert {tool.parent.as_posix() for tool in tools} == {".venv/bin"}
    assert {tool.name for tool in tools} == {"ruff", "mypy", "lint-imports"}
