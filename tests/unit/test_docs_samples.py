"""Every Python sample of the documents, run as it is printed.

A sample whose first line is `# some/file.py` is that file; `# at the end of some/file.py` goes on with it. Every other one is run
by itself, with the names that the file of its document's saga has at its top level, as it was before it was ever used.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import structlog

from surefoot.app.drill.run import drill
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.lint import mistakes
from surefoot.app.saga.lint_warnings import advice
from tests.support.documents import DOCS, ROOT, name_of, pages

pytestmark = pytest.mark.slow

WRITING = DOCS / "writing-a-saga.md"
TESTING = DOCS / "testing.md"
_SAMPLE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# (at the end of )?(\w+/\w+\.py)\n")


def samples(page: Path) -> list[str]:
    return _SAMPLE.findall(page.read_text(encoding="utf-8"))


def others() -> list[object]:
    """Those that are no file: one parameter each."""
    found = [(page, number, text) for page in pages() for number, text in enumerate(samples(page))]
    return [
        pytest.param(text, id=f"{name_of(page)}-{number}")
        for page, number, text in found
        if not _FILE.match(text)
    ]


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the documents print."""
    folder = tmp_path_factory.mktemp("docs")
    for text in (text for page in (WRITING, TESTING) for text in samples(page)):
        if found := _FILE.match(text):
            path = folder / found[2]
            path.parent.mkdir(exist_ok=True)
            with path.open("a", encoding="utf-8") as file:
                file.write(text)
    (folder / "trips" / "__init__.py").touch()
    return folder


@pytest.fixture
def trips(pack: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The module of the documents' saga, new for each test: a saga that was used takes no more steps."""
    monkeypatch.syspath_prepend(pack)
    monkeypatch.setenv("TRIPS_DATABASE_URL", f"sqlite:///{tmp_path}/trips.sqlite")
    for name in [name for name in sys.modules if name.partition(".")[0] == "trips"]:
        del sys.modules[name]
    import trips.saga  # type: ignore[import-not-found]

    module: ModuleType = trips.saga
    return module


def test_given_the_printed_saga_when_linted_then_there_is_no_mistake_and_no_advice(
    trips: ModuleType,
) -> None:
    assert mistakes(trips.trip) == []
    assert advice(trips.trip, lambda lane: 600.0) == []


@pytest.mark.parametrize("text", others())
def test_given_a_sample_when_run_then_it_does_what_it_says(trips: ModuleType, text: str) -> None:
    names = dict(vars(trips))
    exec(compile(text, "sample.py", "exec"), names)
    sagas = {value.name: value for value in names.values() if isinstance(value, Saga)}
    for saga in sagas.values():
        assert [line for line in mistakes(saga) if "has no steps" not in line] == []


def test_given_the_printed_test_when_run_then_it_passes(pack: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-c",
        "/dev/null",
        "tests",
    ]
    done = subprocess.run(
        command, cwd=pack, env=environment(pack), capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stdout + done.stderr


def environment(pack: Path) -> dict[str, str]:
    """That of a reader, who has none of our plugins."""
    return {"PATH": "", "PYTHONPATH": f"{pack}:{ROOT}", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


SOME_LINES = "4"  # of each function; a reader's drill strikes at twenty of them


@pytest.mark.parametrize(
    "rows", ["hold_seat.undo:crash@", pytest.param(None, marks=pytest.mark.long, id="all")]
)
def test_given_the_printed_saga_when_drilled_then_every_row_passes(
    trips: ModuleType, monkeypatch: pytest.MonkeyPatch, rows: str | None
) -> None:
    monkeypatch.delenv("SUREFOOT_ENV", raising=False)
    monkeypatch.setenv("SUREFOOT_DRILL_LINES", SOME_LINES)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    report = drill(trips.trip, only=rows)
    assert report.results
    assert [(result.row.name, result.why) for result in report.results if not result.passed] == []
