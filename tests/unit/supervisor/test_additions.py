"""What saga packages add to `surefoot up`, and that the core knows nothing of those that are shipped."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest

from surefoot.app import errors
from surefoot.app.supervisor import additions, private, redis_users
from surefoot.app.supervisor.additions import Addition, Begun
from surefoot.app.supervisor.part import Part
from surefoot.app.supervisor.redis_rights import Rights

APP = Path(errors.__file__).parent
# what the shipped sagas are about; an order of steps is another thing than an order of goods
OF_THE_SAMPLES = re.compile(
    r"bank|stock|inventory|choreograph|SUREFOOT_(ORDER|PAYMENT|MAIL|EVENTS)", re.I
)
PART = Part(name="mill", command=("mill",), stop_rank=4)
MILL = Addition(
    begin="mill_package:begin",
    prepare="mill_package:prepare",
    secrets={"mill": frozenset({"MILL_KEY"}), "worker": frozenset({"GRAIN_KEY"})},
    rights={"mill": Rights(("mill/*",), ("get",))},
    example={"saga": "grind"},
    renamed=frozenset({"MILL_SECONDS"}),
)


def forget() -> None:
    for kept in (additions.installed, private.secrets, redis_users.users):
        kept.cache_clear()


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[EntryPoint]]:
    """The packages that are installed: none, and those that a test adds."""
    found: list[EntryPoint] = []
    monkeypatch.setattr(additions, "entry_points", lambda group: found)
    forget()
    yield found
    forget()


@pytest.fixture
def mill(packages: list[EntryPoint], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A package with a part. Returns: what it was asked for."""
    module, asked = ModuleType("mill_package"), []
    module.up = MILL  # type: ignore[attr-defined]
    module.begin = lambda home: Begun((PART,), (), {"MILL_URL": f"at {home}"})  # type: ignore[attr-defined]
    module.prepare = lambda: asked.append("prepared")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mill_package", module)
    packages.append(EntryPoint("mill", "mill_package:commands", additions.GROUP))
    return asked


def test_given_no_package_when_asked_then_the_core_is_whole_without_one(
    packages: list[EntryPoint],
) -> None:
    assert additions.begin(Path("/home")) == Begun()
    additions.prepare()
    assert additions.example() is None
    assert redis_users.users() == redis_users.OURS
    assert private.secrets() == private.OF_NO_PART.union(*private.TOLD.values())


def test_given_a_package_when_it_adds_a_part_then_with_its_secrets_and_rights(
    mill: list[str],
) -> None:
    assert additions.begin(Path("/home")) == Begun((PART,), (), {"MILL_URL": "at /home"})
    additions.prepare()
    assert mill == ["prepared"]
    assert additions.example() == {"saga": "grind"}
    assert additions.renamed() == {"MILL_SECONDS"}
    everything = dict.fromkeys(private.secrets(), "hush")
    assert set(private.told(everything, "mill")) == {"MILL_KEY", private.PART}
    told = set(private.told(everything, "worker-1")) - {private.PART}
    assert told == {"GRAIN_KEY", *private.TOLD["worker"]}
    assert redis_users.users()["mill"].keys == ("mill/*",)


def test_given_a_broken_package_when_up_starts_then_it_is_told_of_and_left_out(
    mill: list[str], packages: list[EntryPoint], capsys: pytest.CaptureFixture[str]
) -> None:
    packages.append(EntryPoint("broken", "there_is_no_such:commands", additions.GROUP))
    assert additions.begin(Path("/home")).early == (PART,)
    assert (
        "surefoot: there_is_no_such cannot be used: ModuleNotFoundError" in capsys.readouterr().err
    )
    del sys.modules["mill_package"].begin  # type: ignore[attr-defined]
    assert additions.begin(Path("/home")) == Begun()
    assert "surefoot: mill_package:begin cannot be used" in capsys.readouterr().err


def test_given_the_core_then_no_line_of_it_names_what_the_shipped_sagas_are_about() -> None:
    found = [
        f"{path.relative_to(APP)}:{number}: {line.strip()}"
        for path in sorted(APP.rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if OF_THE_SAMPLES.search(line)
    ]
    assert found == []
