"""Words of the closed vocabularies are literals in `app/rules` only: elsewhere code names the enum's member."""

from __future__ import annotations

import ast
from functools import cache

import pytest

from tests.support.vocabularies import members, parameters_of, strangers
from tests.support.wording import ROOT, sources

# The shipped sagas are plug-ins, and the baseline of the bench is written by hand: both have states of their own.
ASIDE = (
    "app/rules/",
    "workers/sagas/",
    "workers/bench/by_hand.py",
)
# (file, word) -> why it is written out
STAYS = {
    ("app/simulation/rates.py", "not_yet"): "an answer of a simulated service",
    ("app/simulation/service.py", "not_yet"): "an answer of a simulated service",
    ("app/simulation/sagas.py", "exact"): "a saga as its author writes it",
    ("workers/bench/growing.py", "exact"): "a saga as its author writes it",
}


@cache
def trees() -> dict[str, ast.Module]:
    paths = sources("app", "web", "workers", "surefoot/__init__.py", "surefoot/testing.py")
    return {
        str(path.relative_to(ROOT)): ast.parse(path.read_text(encoding="utf-8")) for path in paths
    }


@cache
def literals() -> list[tuple[str, int, str]]:
    """(file, line, word) of those that are meant as members."""
    parameters = parameters_of(trees().values())
    return [
        (name, line, word)
        for name, tree in trees().items()
        if not name.startswith(ASIDE)
        for line, word in members(tree, parameters)
    ]


def test_given_the_product_then_members_of_vocabularies_are_named_and_not_written_out() -> None:
    assert [one for one in literals() if (one[0], one[2]) not in STAYS] == []


def test_given_exceptions_then_each_is_still_needed() -> None:
    assert set(STAYS) <= {(name, word) for name, _, word in literals()}


def test_given_sql_text_then_its_words_are_members() -> None:
    stale = {
        name: found
        for name, tree in trees().items()
        if not name.startswith(("app/store/migrations/", "workers/sagas/"))
        if (found := strangers(tree))
    }
    assert stale == {}


@pytest.mark.parametrize(
    "code",
    [
        'if row.kind == "undo": pass',
        'if row["kind"] in ("undo", "retry"): pass',
        'if row.get("kind") != "undo": pass',
        'query.where(o.kind.in_(["undo"]))',
        'update(o).values(kind="undo")',
        'change(o, {"kind": "undo"})',
        'kind = "undo" if back else other',
        'row.kind = "undo"',
        'lane = lane_of(kind or "undo")',
        'def lane_of(step, kind="undo"): pass',
        'def lane_of(step, kind): pass\nlane_of(step, "undo")',
        'class Op:\n    kind: str = "undo"',
        'class Op:\n    kind: str\nOp("undo")',
        'match op.kind:\n    case "undo": pass',
        'by_kind["undo"]',
        'ranks = {"action": 1, "undo": 2}',
        'for one in ("action", "undo"): pass',
        "condition = literal_column(\"'undo'\")",
        'note("attempt_lost")',
    ],
)
def test_given_a_literal_that_is_meant_as_a_member_when_read_then_it_is_found(code: str) -> None:
    tree = ast.parse(code)
    assert {word for _, word in members(tree, parameters_of([tree]))} & {"undo", "attempt_lost"}


@pytest.mark.parametrize(
    "code",
    [
        '"""undo"""',
        'Column("step", String(64))',
        'commands.command("retry")',
        'links = {"cancel": cancel, "why": why}',
        'if queue == "undo": pass',
        'if row.kind == "postgres": pass',
        'log.info("attempt_lost")',
        'names = ("undo", "postgres")',
        'partial("ix_open", where="state = \'open\'")',
    ],
)
def test_given_an_everyday_word_when_read_then_it_is_left_alone(code: str) -> None:
    tree = ast.parse(code)
    assert members(tree, parameters_of([tree])) == []


def test_given_a_stale_word_in_sql_text_when_read_then_it_is_found() -> None:
    text = "state = 'open' AND state NOT IN ('ended', 'closed') AND kind <> 'compensation'"
    found = strangers(ast.parse(f"WHERE = {text!r}"))
    assert [word for _, word in found] == ["compensation", "ended"]
