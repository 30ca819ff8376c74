"""What a drill finds between two lines of a step: mistakes that were planted there, and nothing where there is none."""

from __future__ import annotations

import re
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from surefoot import stand_in
from surefoot.app.drill import inside
from surefoot.app.drill.inside import Lines, in_transaction, is_developers, spread
from surefoot.app.drill.plan import rows_of
from surefoot.app.drill.report import markdown
from surefoot.app.drill.row import EACH_LINE, chosen
from surefoot.app.drill.run import drill
from surefoot.app.drill.table import Report
from surefoot.app.faults import Crashed
from tests.support import planted_sagas
from tests.support.transfer_saga import transfer

FILE = "planted_sagas.py"
TEXT = Path(planted_sagas.__file__).read_text().splitlines()


def line_of(code: str) -> str:
    """`file.py:57` of a line of the planted sagas."""
    return f"{FILE}:{next(number for number, line in enumerate(TEXT, 1) if line.strip() == code)}"


def told(drawn: Report) -> dict[str, str]:
    return {result.row.name: result.why for result in drawn.failed}


# --- what it finds -------------------------------------------------------------------------------------------------
def test_given_look_then_act_when_a_worker_stands_still_in_between_then_it_is_found_at_that_line() -> (
    None
):
    at = line_of("till.pay(ctx.key)")
    drawn = drill(planted_sagas.look_then_act, only=f"settle:freeze@{EACH_LINE}")

    assert told(drawn)[f"settle:freeze@{at}"] == "nobody_pays_twice: paid 2 times"
    worst = drawn.shortest_failing
    assert worst is not None
    assert worst.step == "settle"
    assert any(line.endswith(f"* freeze settle @ {at}") for line in worst.trace)
    assert (
        drawn.replay(worst) == f"surefoot drill look_then_act --only 'settle:freeze@{at}' --seed 0"
    )
    again = drill(planted_sagas.look_then_act, only=worst.row.name)
    assert [(r.why, list(r.trace)) for r in again.results] == [(worst.why, list(worst.trace))]


def test_given_look_then_act_when_all_is_undone_meanwhile_then_what_comes_too_late_is_found() -> (
    None
):
    drawn = drill(
        planted_sagas.look_then_act, only=f"settle:freeze@{line_of('till.pay(ctx.key)')}+undone"
    )
    (result,) = drawn.failed
    assert "settle is undone by the engine's account; till says done" in result.why
    assert result.step == "settle"


def test_given_remote_call_inside_a_barrier_when_the_worker_dies_before_the_commit_then_it_is_found() -> (
    None
):
    drawn = drill(planted_sagas.remote_in_barrier, only=f"settle:crash@{EACH_LINE}")
    assert told(drawn) == {
        f"settle:crash@{line_of('first.keep(None)')}": "nobody_pays_twice: paid 2 times"
    }


def test_given_what_is_read_and_written_back_when_another_job_comes_in_between_then_it_is_found() -> (
    None
):
    (result,) = drill(
        planted_sagas.lost_update, only=f"take:other-job@{line_of('shelf.put(ctx.key, there - 1)')}"
    ).failed
    assert result.why == "no_apple_is_lost: 3 were sold, and 998 of 1000 are there"
    assert any("(the other job)" in line for line in result.trace)


@pytest.mark.parametrize(
    ("saga", "only"),
    [
        pytest.param(planted_sagas.keyed, "settle:freeze@each_line+undone", id="keyed"),
        pytest.param(planted_sagas.no_lost_update, "two jobs at once", id="decided-by-the-service"),
        pytest.param(transfer, "two-jobs", id="transfer"),
    ],
)
def test_given_sound_saga_when_struck_at_each_line_then_nothing_is_found_and_each_line_was_tried(
    saga: Any, only: str
) -> None:
    drawn = drill(saga, only=only)
    assert told(drawn) == {}
    assert all(
        0 < result.lines == result.lines_in_all for result in drawn.results if result.row.inside
    )


def test_given_worker_in_a_transaction_when_it_should_stand_still_there_then_that_line_is_left_out() -> (
    None
):
    """He would hold his locks, and the others, who run in the same thread, would wait for ever."""
    (result,) = drill(planted_sagas.remote_in_barrier, only=f"settle:freeze@{EACH_LINE}").results
    assert result.passed
    assert 0 < result.lines < result.lines_in_all
    assert result.lines + result.lines_kept_in == result.lines_in_all and not result.skipped


def test_given_each_line_in_a_transaction_then_the_row_is_told_as_skipped_and_not_as_passed() -> (
    None
):
    inside = line_of("first.keep(None)")
    drawn = drill(planted_sagas.remote_in_barrier, only=f"settle:freeze@{inside}")
    data, (result,) = drawn.to_json(), drawn.results
    assert (result.skipped, result.lines, result.lines_kept_in) == (True, 0, 1)
    assert (data["passed"], data["failed"], data["skipped"]) == (0, 0, 1)
    assert "0 rows passed, 0 failed, 1 skipped (seed 0)." in markdown(drawn)
    assert "| skipped |" in markdown(drawn)


# --- rows ------------------------------------------------------------------------------------------------------------
def test_given_row_at_each_line_when_one_line_is_named_then_that_row_alone() -> None:
    rows = rows_of(transfer.graph)
    (row,) = chosen(rows, "deposit.undo:crash@bank.py:57")
    assert (row.name, row.line, row.point) == (
        "deposit.undo:crash@bank.py:57",
        "bank.py:57",
        "bank.py:57",
    )
    (row,) = chosen(rows, "deposit:freeze@bank.py:57+undone")
    assert row.then
    assert chosen(rows, "nothing:crash@bank.py:57") == []


def test_given_line_that_is_never_run_when_it_is_named_then_the_finding_says_so() -> None:
    (result,) = drill(transfer, only="deposit:crash@bank.py:57").failed
    assert "the job never came to the point of this fault" in result.why


def test_given_more_lines_than_are_tried_when_spread_then_first_and_last_and_evenly_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert spread("abcdefghi", 3) == ["a", "e", "i"]
    assert spread("abc", 3) == ["a", "b", "c"]
    assert spread("abc", 1) == ["a"]
    monkeypatch.setenv("SUREFOOT_DRILL_LINES", "1")
    (result,) = drill(planted_sagas.keyed, only=f"settle:crash@{EACH_LINE}").results
    assert (result.lines, result.lines_in_all) == (1, 2)


# --- following a function ------------------------------------------------------------------------------------------
@stand_in
def elsewhere() -> int:
    one = 1
    return one + 1


def here() -> list[str]:
    elsewhere()
    re.sub("a", "b", "c")
    return ["x"]


def test_given_function_when_followed_then_its_own_lines_and_neither_libraries_nor_stand_ins() -> (
    None
):
    with Lines() as lines:
        here()
        elsewhere()
    first = here.__code__.co_firstlineno
    assert list(lines.places) == [f"{Path(__file__).name}:{first + number}" for number in (1, 2, 3)]
    assert not is_developers(re.__file__)
    assert not is_developers(pytest.__file__)


def test_given_place_when_reached_then_stopped_there_once_and_what_is_raised_comes_out() -> None:
    stopped: list[str] = []

    def dies(place: str) -> None:
        stopped.append(place)
        raise Crashed

    place = f"{Path(__file__).name}:{here.__code__.co_firstlineno + 2}"
    with pytest.raises(Crashed), Lines(place, dies):
        here()
    assert stopped == [place]


def test_given_something_else_when_marked_as_stand_in_then_refused() -> None:
    with pytest.raises(TypeError, match="stand_in marks a function or a class, not int"):
        stand_in(3)


class OfTheirOwn(sqlite3.Connection):
    pass


@pytest.mark.parametrize("kind", [sqlite3.Connection, OfTheirOwn])
def test_given_open_transaction_when_asked_then_it_is_seen(kind: type[sqlite3.Connection]) -> None:
    raw = sqlite3.connect(":memory:", isolation_level=None, factory=kind)
    try:
        assert not in_transaction()
        raw.execute("BEGIN")
        assert in_transaction()
    finally:
        raw.close()


def test_given_a_transaction_that_another_thread_ends_when_asked_then_that_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inside, "SETTLE_S", 30.0)
    with closing(sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)) as raw:
        raw.execute("BEGIN")
        other = threading.Thread(target=raw.execute, args=("COMMIT",))
        other.start()
        assert not in_transaction()
        other.join()
