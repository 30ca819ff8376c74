from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from surefoot.app.errors import DefinitionError, SettingsError
from surefoot.app.saga import registry as registry_module
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.registry import Registry
from tests.unit.saga import order_saga, sagas_of_a_module

HERE = "tests.unit.saga"


class Ask(BaseModel):
    n: int = 1


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> list[EntryPoint]:
    """The entry points of this process: none but what a test adds."""
    points: list[EntryPoint] = []
    monkeypatch.setattr(
        registry_module, "entry_points", lambda group: EntryPoints(points).select(group=group)
    )
    return points


def point(name: str, value: str) -> EntryPoint:
    return EntryPoint(name=name, value=value, group="surefoot.sagas")


def one_step(name: str = "s", version: int = 1) -> Saga[Ask]:
    saga = Saga(name, version=version, input=Ask)

    @saga.step(lane="a", undo=None)
    def only(ctx: Any, o: Ask) -> None: ...

    return saga


def test_given_modules_when_loaded_then_every_saga_at_their_top_level_once() -> None:
    registry = Registry.load(
        [f"{HERE}.order_saga", f"{HERE}.sagas_of_a_module", f"{HERE}.order_saga"]
    )
    assert registry.all() == (order_saga.order, sagas_of_a_module.old, sagas_of_a_module.new)


def test_given_two_versions_when_asked_then_the_highest_by_name_and_each_by_digest() -> None:
    old, new = sagas_of_a_module.old, sagas_of_a_module.new
    registry = Registry([new, old])
    assert registry.get("trip") is new
    assert registry.by_digest("trip", old.digest) is old
    assert registry.by_digest("trip", new.digest) is new
    assert registry.by_digest("trip", "0" * 16) is None
    assert registry.by_digest("order", new.digest) is None
    assert registry.get("order") is None


@pytest.mark.parametrize(
    "value", [f"{HERE}.order_saga", f"{HERE}.order_saga:order"], ids=["module", "saga"]
)
def test_given_entry_points_when_loaded_then_they_count_beside_the_modules(
    installed: list[EntryPoint], value: str
) -> None:
    installed.append(point("order", value))
    assert Registry.load([]).all() == (order_saga.order,)
    assert Registry.load([f"{HERE}.order_saga"]).all() == (order_saga.order,)


def test_given_nothing_when_loaded_then_an_empty_registry() -> None:
    assert Registry.load([]).all() == ()


@pytest.mark.parametrize(
    ("modules", "points", "said"),
    [
        pytest.param(
            ["no.such_module"],
            [],
            r"SUREFOOT_SAGAS names module 'no.such_module', which cannot be imported: No module",
            id="module",
        ),
        pytest.param(
            ["json"],
            [],
            r"module json \(SUREFOOT_SAGAS\) has no Saga at its top level",
            id="module-without",
        ),
        pytest.param(
            [],
            [point("x", "no.such")],
            r"entry point x = no.such \(surefoot.sagas\) cannot be loaded",
            id="entry-point",
        ),
        pytest.param(
            [],
            [point("x", "json:nothing")],
            r"entry point x = json:nothing .* cannot be loaded",
            id="attribute",
        ),
        pytest.param(
            [],
            [point("x", "json:dumps")],
            r"entry point x = json:dumps .* has no Saga",
            id="no-saga",
        ),
    ],
)
def test_given_name_that_leads_nowhere_when_loaded_then_it_is_named(
    installed: list[EntryPoint], modules: list[str], points: list[EntryPoint], said: str
) -> None:
    installed.extend(points)
    with pytest.raises(DefinitionError, match=said):
        Registry.load(modules)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        pytest.param(
            "import nowhere_at_all",
            r"pack/saga.py:1: No module named 'nowhere_at_all'$",
            id="import",
        ),
        pytest.param(
            "x = 1\n\nprint(nothing)",
            r"pack/saga.py:3: NameError: name 'nothing' is not defined$",
            id="name",
        ),
        pytest.param("def (", r"pack/saga.py:1: SyntaxError: invalid syntax$", id="syntax"),
        pytest.param(
            "from surefoot import Retry\nRetry(limit=0)",
            r"pack/saga.py:2: ValueError: Retry\(limit=0\): an op",
            id="called-wrongly",
        ),
        pytest.param(
            "from pack import models",
            r"pack/models.py:1: ZeroDivisionError: division by zero$",
            id="what-it-imports",
        ),
    ],
)
@pytest.mark.parametrize("how", ["module", "entry-point"])
def test_given_code_that_fails_when_loaded_then_its_line_is_told(
    installed: list[EntryPoint],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
    code: str,
    said: str,
) -> None:
    files = {"__init__.py": "", "models.py": "1 / 0\n", "saga.py": code}
    (tmp_path / "pack").mkdir()
    for name, text in files.items():
        (tmp_path / "pack" / name).write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "pack"]:
        del sys.modules[name]  # of the case before
    if how == "entry-point":
        installed.append(point("trip", "pack.saga"))
    with pytest.raises(DefinitionError, match=said) as caught:
        Registry.load(["pack.saga"] if how == "module" else [])
    assert "pack.saga" in caught.value.message.partition(":")[0]


def test_given_module_that_refuses_a_setting_when_loaded_then_it_is_told_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "refusing.py").write_text(
        "from surefoot.app.errors import SettingsError\nraise SettingsError('HOTELS_URL: say one')",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SettingsError, match=r"^HOTELS_URL: say one$"):
        Registry.load(["refusing"])


def test_given_two_sagas_of_one_name_and_version_when_registered_then_both_lines_are_told() -> None:
    with pytest.raises(
        DefinitionError,
        match=r"saga s version 1 is defined twice, first at .*test_registry.py:\d+. Rename one",
    ) as caught:
        Registry([one_step(), one_step()])
    assert "test_registry.py" in caught.value.message.split(": ")[0]
    assert len(Registry([one_step(), one_step(version=2), one_step("t")]).all()) == 3


def test_given_saga_with_a_mistake_when_registered_then_refused() -> None:
    with pytest.raises(DefinitionError, match="saga s has no steps"):
        Registry([Saga("s", version=1, input=Ask)])
