"""Advice about a saga that runs: what its definition alone tells for sure, and `surefoot sagas lint`, which says it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from surefoot.app.cli import COMMANDS
from surefoot.app.cli.group import Commands, outcome
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.lint_warnings import advice
from surefoot.app.saga.policies import Retry


class Ask(BaseModel):
    n: int = 1


def limit(lane: str) -> float:
    return 60.0 if lane == "fast" else 600.0


def good() -> Saga[Any]:
    """A saga about which there is nothing to say; its step is `work`."""
    saga = Saga("good", version=1, input=Ask, examples=[Ask()])

    @saga.effect_reader("fast")
    def seen(keys: Any) -> list[Any]:
        return []

    return saga


def work(ctx: Any, o: Any) -> int:
    return 1


def undo_work(ctx: Any, o: Any, result: Any) -> None: ...


def step(saga: Saga[Any], **words: Any) -> Any:
    return saga.step(**{"lane": "fast", "safe_to_drill": True, **words})(work)


def nothing(saga: Saga[Any]) -> None:
    step(saga).compensate(fidelity="exact")(undo_work)


def waived(saga: Saga[Any]) -> None:
    step(saga, undo=None)


def hasty_undo(saga: Saga[Any]) -> None:
    step(saga).compensate(fidelity="exact", retry=Retry(for_="1m"))(undo_work)


def silent_difference(saga: Saga[Any]) -> None:
    step(saga).compensate(fidelity="partial")(undo_work)


def too_long_for_its_lane(saga: Saga[Any]) -> None:
    step(saga, timeout="61s").compensate(fidelity="exact")(undo_work)


def undo_too_long_for_its_lane(saga: Saga[Any]) -> None:
    step(saga).compensate(fidelity="exact", timeout="2m")(undo_work)


def later_than_late(saga: Saga[Any]) -> None:
    saga.sla_s = 30.0
    nothing(saga)


def unread(saga: Saga[Any]) -> None:
    step(saga, lane="other").compensate(fidelity="exact")(undo_work)


def result_for_sure(saga: Saga[Any]) -> None:
    def counts_on_it(ctx: Any, o: Any, result: int) -> None: ...

    step(saga).compensate(fidelity="exact")(counts_on_it)


def result_perhaps(saga: Saga[Any]) -> None:
    def knows(ctx: Any, o: Any, result: int | None) -> None: ...

    step(saga).compensate(fidelity="exact")(knows)


def result_of_a_replay(saga: Saga[Any]) -> None:
    def counts_on_it(ctx: Any, o: Any, result: int) -> None: ...

    step(saga, on_unknown_undo="replay").compensate(fidelity="exact")(counts_on_it)


def not_drilled(saga: Saga[Any]) -> None:
    step(saga, safe_to_drill=False).compensate(fidelity="exact")(undo_work)


@pytest.mark.parametrize(
    ("declare", "said"),
    [
        (nothing, []),
        (waived, ["nothing tells users of an undone job what stays"]),
        (hasty_undo, ["is tried for 3600 s, and its undo undo_work for 60 s"]),
        (silent_difference, ["undone by undo_work as 'partial', but users are not told"]),
        (too_long_for_its_lane, ["has a timeout of 61 s, and its lane fast is made for 60 s"]),
        (undo_too_long_for_its_lane, ["has an undo with a timeout of 120 s"]),
        (later_than_late, ["may take 60 s, and its job is late after 30 s"]),
        (unread, ["which service has the effects of work"]),
        (
            result_for_sure,
            ["is undone by counts_on_it, whose result is None when the result was never learnt"],
        ),
        (result_perhaps, []),
        (result_of_a_replay, []),
        (not_drilled, ["cannot be drilled"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_given_saga_that_runs_when_judged_then_just_this_is_said(
    declare: Callable[[Saga[Any]], None], said: list[str]
) -> None:
    saga = good()
    declare(saga)
    assert saga.digest  # it has no mistake
    found = advice(saga, limit)
    assert len(found) == len(said)
    assert all(
        words in one.says and "test_advice.py:" in one.where
        for words, one in zip(said, found, strict=True)
    )


# --- the command ---------------------------------------------------------------------------------------------------
MODULE = """
from pydantic import BaseModel
from surefoot import Saga

class Ask(BaseModel):
    n: int = 1

trip = Saga("trip", version=3, input=Ask)

@trip.step(lane="fast", {words})
def book(ctx, o): ...
"""


@pytest.fixture
def lint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("SUREFOOT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SUREFOOT_SAGAS", "linted_trip")

    def run(declared: str, *words: str) -> tuple[int, str]:
        (tmp_path / "linted_trip.py").write_text(MODULE.replace("{words}", declared))
        sys.modules.pop("linted_trip", None)
        code = outcome(Commands(COMMANDS), ["sagas", "lint", *words])
        said = capsys.readouterr()
        return code, said.out + said.err

    yield run
    sys.modules.pop("linted_trip", None)


def test_given_advice_when_linted_then_0_and_with_strict_1_and_a_program_reads_the_same(
    lint: Any,
) -> None:
    code, said = lint("undo=None", "trip")
    assert (
        code,
        "step book is never undone" in said,
        "no mistakes, 4 pieces of advice" in said,
    ) == (0, True, True)
    code, said = lint("undo=None", "trip", "--strict", "--json")
    (one,) = json.loads(said)["sagas"]
    assert (code, one["name"], one["version"], [a["step"] for a in one["advice"]]) == (
        1,
        "trip",
        3,
        [None, None, None, "book"],
    )


def test_given_mistake_when_linted_then_1_and_the_line_to_change(lint: Any) -> None:
    code, said = lint("no_effect=False", "--json")
    told = json.loads(said)
    assert (code, told["sagas"]) == (1, [])
    assert "linted_trip.py:10: step book can be left behind" in told["mistakes"][0]
    assert lint("no_effect=False")[0] == 1


def test_given_misspelt_saga_when_linted_then_2_and_what_may_be_meant(lint: Any) -> None:
    code, said = lint("no_effect=True", "tripp")
    assert (code, "no saga here is called 'tripp'" in said) == (2, True)


def test_given_the_shipped_sagas_when_linted_then_nothing_is_said(lint: Any) -> None:
    assert (
        lint("no_effect=True", "order", "change_order", "order_choreographed", "--strict")[0] == 0
    )
