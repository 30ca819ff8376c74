"""A store with a job for every kind of page, made by the engine in this process."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from sqlalchemy import Table, insert, select

from surefoot.app.saga.definition import Saga
from surefoot.app.saga.outcomes import Rejected
from surefoot.app.saga.policies import Retry
from surefoot.app.store.catalogue import register
from surefoot.app.store.ids import new_id, operation_id
from surefoot.app.store.tables import dead_letters, history, jobs, operations
from tests.contract.views.shop import Shop
from tests.support.world import Participant

MEMBERS, LINKS, LETTERS = 100, 50, 301


class Pages(BaseModel):
    pages: int = 7


def _step(service: Participant, name: str) -> Any:
    def act(ctx: Any, o: Pages) -> str:
        return service.act(ctx)

    act.__name__ = act.__qualname__ = name
    return act


def fork(service: Participant) -> Saga[Any]:
    """A hundred members between a first step and a join; every one is undone in its own way."""
    saga = Saga("print_run", version=1, input=Pages, summary="{pages} pages for 100 readers")
    few = Retry(limit=3)
    first = saga.step(lane="orders", retry=few, no_effect=True, title="set the pages")(
        _step(service, "set_pages")
    )
    members = []
    for number in range(MEMBERS):
        member = saga.step(lane="print", after=[first], retry=few, title=f"print copy {number}")(
            _step(service, f"copy_{number}")
        )
        member.compensate(fidelity="exact", retry=few)(_step(service, f"pulp_{number}"))
        members.append(member)
    saga.step(lane="orders", after=members, retry=few, no_effect=True, title="bind the books")(
        _step(service, "bind_books")
    )
    return saga


def chain(service: Participant) -> Saga[Any]:
    """Fifty steps one after the other."""
    saga = Saga("long_way", version=1, input=Pages, summary="{pages} pages, fifty stations")
    before: list[Any] = []
    for number in range(LINKS):
        step = saga.step(
            lane="orders", after=before, retry=Retry(limit=3), title=f"station {number}"
        )(_step(service, f"station_{number}"))
        step.compensate(fidelity="exact", retry=Retry(limit=3))(_step(service, f"leave_{number}"))
        before = [step]
    return saga


class Gallery(Shop):
    """A shop that prints books, too."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        more = [fork(self.service), chain(self.service)]
        register(self.db, more)
        self.registry = type(self.registry)([*self.registry.all(), *more])

    def of(self, saga: str, **more: Any) -> str:
        """Submit a job of this saga."""
        usual, self.saga = self.saga, saga
        try:
            return self.submit(input={"pages": 7}, **more)
        finally:
            self.saga = usual

    def declined(self) -> str:
        """An order that was undone: its card was charged and refunded."""
        self.service.script["confirm_order", "action"].append(Rejected("the shop is sold out"))
        job_id = self.order()
        assert self.land(job_id) == "failed"
        return job_id

    def fork_undone(self) -> str:
        """A fork of which one member fails: the others are undone."""
        self.service.script["copy_57", "action"].append(Rejected("no paper left"))
        job_id = self.of("print_run")
        assert self.land(job_id) == "failed"
        return job_id

    def under_way(self, saga: str, delivered: int) -> str:
        """A job of which so many messages have been worked on."""
        self.broker.waiting.clear()  # of jobs that are to stand still
        job_id = self.of(saga)
        for _ in range(delivered):
            self.deliver(self.next())
        return job_id

    def letters(self, count: int = LETTERS) -> list[str]:
        """So many orders that ask a person about a refund: one was run, the rest are copies."""
        first = self.asked()
        made = [first]
        with self.db.begin() as connection:
            rows = {
                table: [
                    dict(row._mapping)
                    for row in connection.execute(select(table).where(column == first))
                ]
                for table, column in (
                    (jobs, jobs.c.id),
                    (operations, operations.c.job_id),
                    (history, history.c.job_id),
                    (dead_letters, dead_letters.c.job_id),
                )
            }
            copies: dict[Table, list[dict[str, Any]]] = {table: [] for table in rows}
            for _ in range(count - 1):
                made.append(new_id())
                for table, found in rows.items():
                    copies[table] += [_copied(row, table, made[-1]) for row in found]
            for table, found in copies.items():
                connection.execute(insert(table), found)
        return made


def _copied(row: dict[str, Any], table: Table, job_id: str) -> dict[str, Any]:
    """The same row of another job."""
    if table is jobs:
        return row | {"id": job_id}
    copy = row | {"job_id": job_id}
    if table is operations:
        copy["id"] = operation_id(job_id, row["step"], row["item"], row["kind"])
    if table is dead_letters:
        copy["operation_id"] = operation_id(job_id, row["step"], row["item"], row["kind"])
        copy["id"] = new_id()
    return copy
