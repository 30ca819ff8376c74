"""The saga of the tutorial has the mistake that the page says, and not after it was mended."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import structlog

from surefoot.app.drill.run import drill
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.lint import mistakes
from surefoot.app.saga.lint_warnings import advice
from tests.support.documents import DOCS
from tests.support.tutorial import File, missing_in, steps

SOME_LINES = "4"  # of each function; a reader's drill strikes at twenty of them
ROW = "book_room:freeze@before_effect+undone"
FILES = [step for step in steps() if isinstance(step, File)]


def party(folder: Path, files: list[File], monkeypatch: pytest.MonkeyPatch) -> Saga:
    """The saga as it is once the reader has written these files."""
    for file in files:
        file.write(folder)
    monkeypatch.delenv("SUREFOOT_ENV", raising=False)
    monkeypatch.syspath_prepend(folder)
    for name in [name for name in sys.modules if name.partition(".")[0] == "party"]:
        del sys.modules[name]
    import party.saga  # type: ignore[import-not-found]

    saga = party.saga.party
    assert isinstance(saga, Saga)
    return saga


def test_given_the_first_notebook_when_drilled_then_the_printed_mistake_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saga = party(tmp_path, FILES[:3], monkeypatch)
    assert (mistakes(saga), advice(saga, lambda lane: 600.0)) == ([], [])
    (result,) = drill(saga, only=ROW).results
    assert not result.passed
    assert result.why.endswith("notebook says done")


def test_given_the_notebook_with_its_barrier_when_drilled_then_the_row_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (result,) = drill(party(tmp_path, FILES, monkeypatch), only=ROW).results
    assert result.passed, result.why


@pytest.mark.long
def test_given_the_notebook_with_its_barrier_when_drilled_then_all_printed_rows_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUREFOOT_DRILL_LINES", SOME_LINES)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    results = drill(party(tmp_path, FILES, monkeypatch)).results
    assert [(result.row.name, result.why) for result in results if not result.passed] == []
    printed = re.findall(r"^(\d+) of \1 rows passed", (DOCS / "tutorial.md").read_text(), re.M)
    assert printed[-1] == str(len(results))


def test_given_output_when_compared_with_the_page_then_a_line_too_many_or_too_few_is_seen() -> None:
    assert missing_in("a\n\n 12:00:01  b ", ["a", "11:59:59 b"]) == []
    assert missing_in("a\nx\nb", ["a", "b"]) == ["b"]
    assert missing_in("a\nx\nb", ["a", "…", "b"]) == []
    assert missing_in("b\na", ["…", "a", "…", "b"]) == ["b"]
