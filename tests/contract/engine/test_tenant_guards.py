"""Whatever a person asks for is written to rows of their own tenant, whoever looked at it before."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from sqlalchemy import select

from surefoot.app.engine.operators import assignment, decisions, redrive, resubmit
from surefoot.app.engine.operators.redrive import RedrivePlan
from surefoot.app.engine.operators.resubmit import Asked
from surefoot.app.engine.reconcile import findings
from surefoot.app.engine.reconcile.findings import UndoAsked
from surefoot.app.errors import Conflict, NotFound
from surefoot.app.store import dead_letters, reconciliations
from surefoot.app.store.actors import Actor
from surefoot.app.store.dead_letters import DeadLetterFilter
from surefoot.app.store.ids import new_id
from surefoot.app.store.session import reading, transaction
from surefoot.app.store.tables import metadata, tenants
from surefoot.app.store.views import quarantine as quarantine_views
from tests.contract.views.shop import Shop

WHY = "because"
ASKED = ("actor", "asked")  # who asks is in one of these


class Yard:
    """An order that asks a person and one that has ended, with a finding, and somebody of another
    tenant.
    """

    def __init__(self, shop: Shop) -> None:
        self.shop, self.db = shop, shop.db
        self.asking, self.ended = shop.asked(), shop.order()
        shop.drain()
        (self.letter,) = (row.id for row in shop.letters(self.asking))
        other = new_id()
        with self.db.begin() as tx:
            tx.execute(tenants.insert().values(id=other, name="other"))
        found = {"job_id": self.ended, "saga": "shop", "step": "charge_card", "item": ""}
        found |= {"service": "payments", "key": f"{self.ended}:charge_card::action"}
        found |= {"finding": "different", "action": "asked", "detail": {}}
        (new,) = findings.record(self.db, [found], {self.ended: shop.tenant}, None, "test")
        with reading(self.db) as c:
            rows = reconciliations.open_of_jobs(c, [self.ended])
        assert new["key"] == rows[0].key
        self.finding = rows[0].id
        self.stranger = Actor("operator:stranger", new_id(), other)
        self.by_stranger = Asked(self.stranger, WHY, again=True)

    def everything(self) -> dict[str, list[Any]]:
        with reading(self.db) as c:
            return {
                table.name: sorted(map(repr, c.execute(select(table))))
                for table in metadata.sorted_tables
            }


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    shop = Shop(f"sqlite:///{tmp_path_factory.mktemp('guards') / 'store.sqlite'}")
    yield Yard(shop)
    shop.close()


Act = Callable[[Yard], Any]
ACTS: dict[str, Act] = {
    "decisions.cancel": lambda y: decisions.cancel(y.db, y.shop.settings, y.asking, y.stranger),
    "decisions.retry": lambda y: decisions.retry(y.db, y.letter, y.stranger, WHY),
    "decisions.mark_done": lambda y: decisions.mark_done(y.db, y.letter, y.stranger, WHY),
    "decisions.waive": lambda y: decisions.waive(y.db, y.letter, y.stranger, WHY),
    "decisions.mark_absent": lambda y: decisions.mark_absent(
        y.db, y.shop.settings, y.letter, y.stranger, WHY
    ),
    "assignment.take": lambda y: assignment.take(y.db, y.asking, y.stranger),
    "assignment.assign": lambda y: assignment.assign(y.db, y.asking, "Ada", y.stranger),
    "assignment.release": lambda y: assignment.release(y.db, y.asking, y.stranger),
    "redrive.redrive_job": lambda y: redrive.redrive_job(y.shop.entrance, y.asking, y.by_stranger),
    "resubmit.asked_about": lambda y: resubmit.asked_about(
        y.db, y.ended, y.by_stranger, name="test"
    ),
    "resubmit.resubmit_job": lambda y: resubmit.resubmit_job(
        y.shop.entrance, y.ended, y.by_stranger
    ),
    "redrive.redrive_letter": lambda y: redrive.redrive_letter(
        y.shop.entrance, y.letter, y.by_stranger
    ),
    "redrive.discard_letter": lambda y: redrive.discard_letter(y.db, y.letter, y.stranger, WHY),
    "resubmit.resubmit": lambda y: resubmit.resubmit(
        y.shop.entrance, y.shop.job(y.ended), y.by_stranger
    ),
    "findings.close": lambda y: findings.close(y.db, y.finding, y.stranger, WHY),
    "findings.adopt": lambda y: findings.adopt(y.db, y.finding, y.stranger, WHY),
    "findings.decide_undo": lambda y: findings.decide_undo(
        y.db, y.shop.registry, y.finding, UndoAsked(y.stranger, WHY)
    ),
    "findings.undo": lambda y: findings.undo(
        y.db, y.shop.registry, y.finding, UndoAsked(y.stranger, WHY)
    ),
    "redrive.redrive_many": lambda y: redrive.redrive_many(
        y.db, y.shop.settings, RedrivePlan(DeadLetterFilter(), 1.0, 0.0), Asked(y.stranger, WHY)
    ),
    "redrive.cancel_redrive": lambda y: redrive.cancel_redrive(
        y.db, DeadLetterFilter(), y.stranger, WHY
    ),
}
WITHIN = {
    "decisions.retry_in",
    "findings.record",
}  # within a move of somebody's; what a round has found


def acts_of(module: ModuleType) -> list[str]:
    """The acts of a module of the engine: its functions that are told who asks."""
    name = module.__name__.rpartition(".")[2]
    return [
        f"{name}.{word}"
        for word, fn in vars(module).items()
        if inspect.isfunction(fn) and fn.__module__ == module.__name__ and not word.startswith("_")
        if set(inspect.signature(fn).parameters) & set(ASKED)
    ]


def test_given_the_engines_acts_then_each_is_tried_here() -> None:
    found = {
        act
        for module in (decisions, findings, assignment, redrive, resubmit)
        for act in acts_of(module)
    }
    assert found - WITHIN == set(ACTS)


@pytest.mark.parametrize("act", ACTS)
def test_given_an_act_of_another_tenant_when_nobody_has_looked_before_then_nothing_is_written(
    yard: Yard, act: str
) -> None:
    before = yard.everything()
    with suppress(NotFound, Conflict):
        ACTS[act](yard)
    after = yard.everything()
    for table in (
        "surefoot_acts",
        "surefoot_periodic_runs",
    ):  # a redrive of many that found none may be on record
        del before[table], after[table]
    assert after == before


def writes(path: str) -> dict[str, ast.FunctionDef]:
    """Functions that update or delete and are told who asks."""
    tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    return {
        node.name: node
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and any(arg.arg in ASKED for arg in (*node.args.args, *node.args.kwonlyargs))
        and set(_called(node)) & {"update", "delete"}
    }


def _called(node: ast.AST) -> Iterator[str]:
    for one in ast.walk(node):
        if isinstance(one, ast.Call):
            yield one.func.id if isinstance(one.func, ast.Name) else getattr(one.func, "attr", "")


@pytest.mark.parametrize("module", [dead_letters, reconciliations, quarantine_views])
def test_given_a_statement_that_writes_what_somebody_asks_for_then_the_tenant_is_in_its_guard(
    module: ModuleType,
) -> None:
    found = writes(str(module.__file__))
    assert found
    unguarded = [name for name, node in found.items() if not {"own", "_of"} & set(_called(node))]
    assert unguarded == []


def test_given_a_letter_of_another_tenant_when_only_its_statement_is_run_then_it_stays_open(
    yard: Yard,
) -> None:
    def work(tx: Any) -> bool:
        return dead_letters.close(
            tx, yard.letter, resolution="waived", actor=yard.stranger, why=WHY
        )

    assert not transaction(yard.db, work)


def test_given_the_same_acts_of_the_own_tenant_then_they_land(yard: Yard) -> None:
    mine = Actor("operator:mine", new_id(), yard.shop.tenant)
    assignment.take(yard.db, yard.asking, mine)
    assert redrive.redrive_many(
        yard.db, yard.shop.settings, RedrivePlan(DeadLetterFilter(), 1.0, 0.0), Asked(mine, WHY)
    ).letters
    assert redrive.cancel_redrive(yard.db, DeadLetterFilter(), mine, WHY) == 1
    assert findings.close(yard.db, yard.finding, mine, WHY)
    assert decisions.waive(yard.db, yard.letter, mine, WHY).applied
