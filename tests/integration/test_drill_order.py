"""The shipped order, drilled; and the page that holds its table is what the drill says today."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import structlog

from surefoot.app.drill import report, run
from surefoot.app.drill.table import Report
from surefoot.workers.sagas.order.saga import order
from surefoot.workers.sagas.order_choreographed.saga import order_choreographed

PAGE = Path(__file__).parents[2] / "docs" / "scenarios.md"
SOME_LINES = "3"  # of each operation; all of them are the command's business
MARK = "<!-- surefoot drill order --markdown -->\n"


@pytest.fixture(autouse=True)
def _quiet() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def failed(drawn: Report) -> list[tuple[str, str]]:
    return [(result.row.name, result.why) for result in drawn.failed]


def lines(drawn: Report) -> list[str]:
    return comparable(report.markdown(drawn))


def comparable(table: str) -> list[str]:
    """Its rows. Where an order was struck at each line, what the services say depends on which lines there are."""
    rows = [line for line in table.splitlines() if line.endswith("| pass |")]
    return [" | ".join(row.split(" | ")[:3]) if "| each line |" in row else row for row in rows]


def test_given_page_of_scenarios_when_compared_with_the_rows_of_a_drill_then_it_has_each_of_them_in_order() -> (
    None
):
    _, found, table = PAGE.read_text(encoding="utf-8").partition(MARK)
    assert found, f"{PAGE.name} has no line {MARK!r}"
    groups = [line.removeprefix("## ") for line in table.splitlines() if line.startswith("## ")]
    assert groups[:4] == [
        "Step failure",
        "Compensation retry",
        "Duplicate delivery",
        "Mid-saga crash",
    ]
    planned = [(row.fault, row.operation or "-", row.point or "-") for row in run.plan(order)]
    written = [
        tuple(cell.strip() for cell in line.split("|")[1:4])
        for line in table.splitlines()
        if line.endswith("| pass |")
    ]
    assert written == planned, "the page is old: surefoot drill order --markdown writes its table"
    assert f"{len(planned)} rows passed, 0 failed" in table


@pytest.mark.parametrize(
    "only",
    ["service outage", "charge_card.undo:error", "charge_card:freeze", "charge_card:duplicate"],
)
def test_given_rows_of_the_order_when_drilled_then_they_pass_and_end_as_the_page_says(
    only: str,
) -> None:
    drawn = run.drill(order, only=only)

    assert failed(drawn) == []
    page = comparable(PAGE.read_text(encoding="utf-8"))
    assert [line for line in lines(drawn) if line not in page] == []


def test_given_bank_that_is_gone_when_drilled_then_one_letter_and_undone_or_a_person_is_asked_and_it_lands_after_redrive() -> (
    None
):
    forward, back = run.drill(order, only="service outage").results

    assert (forward.job_state, forward.attempts, forward.redriven_to) == ("failed", 28, "")
    assert dict(forward.services) == {
        "orders": "undone",
        "inventory": "undone",
        "payments": "none",
        "mail": "none",
    }
    assert (back.job_state, back.attempts, back.redriven_to) == ("attention", 44, "failed")
    assert dict(back.services) == {
        "orders": "undone",
        "inventory": "undone",
        "payments": "undone",
        "mail": "none",
    }


@pytest.mark.long
@pytest.mark.timeout(600)
def test_given_order_when_drilled_whole_then_every_row_passes_and_the_page_is_that_table(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SUREFOOT_DRILL_LINES", SOME_LINES)
    drawn = run.drill(order)

    assert failed(drawn) == []
    _, _, table = PAGE.read_text(encoding="utf-8").partition(MARK)
    assert comparable(table) == lines(drawn)
    assert table.strip().splitlines()[-1] == report.markdown(drawn).strip().splitlines()[-1]


@pytest.mark.long
@pytest.mark.timeout(600)
def test_given_order_without_a_coordinator_when_drilled_whole_then_every_row_passes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SUREFOOT_DRILL_LINES", SOME_LINES)
    assert failed(run.drill(order_choreographed)) == []
