"""Prices asked of a dozen shops side by side, in batchable steps that share messages; each leaves a row in a service's own database.

`mood` says what the shops are like: `calm`; `slow`, some take longer than a batch may keep the others waiting; `moody`,
they fail, wait and ask for time; `closed`, one refuses, and everything is undone.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from functools import lru_cache
from typing import Any, Literal

from pydantic import BaseModel
from sqlalchemy import (
    Column,
    Engine,
    MetaData,
    String,
    Table,
    create_engine,
    delete,
    func,
    insert,
    select,
)

from surefoot import Context, NotYet, Rejected, Retry, RetryLater, Saga, barrier, barrier_table

STORE = "BRIEF_DATABASE_URL"
SHOPS = 12
STEPS = SHOPS + 3
QUICK = Retry(
    limit=40, backoff="200ms", cap="1s"
)  # so many that none is given up, whatever breaks meanwhile

metadata = MetaData()
barrier_table(metadata)
asked = Table(
    "asked",
    metadata,
    Column("key", String(200), primary_key=True),
    Column("job_id", String(40), nullable=False),
)


class Ask(BaseModel):
    mood: Literal["calm", "slow", "moody", "closed"]


prices = Saga("prices", version=1, input=Ask, examples=[Ask(mood="calm")])


@lru_cache(maxsize=1)
def _store(pid: int) -> Engine:
    """One for each process: a child's sockets are not its parent's."""
    return create_engine(os.environ[STORE], pool_pre_ping=True)


def rows_of_each_job(url: str) -> Counter[str]:
    """{job's id: how many of its steps have an effect now}."""
    store = create_engine(url)
    with store.connect() as connection:
        found = connection.execute(
            select(asked.c.job_id, func.count()).group_by(asked.c.job_id)
        ).all()
    store.dispose()
    return Counter({row[0]: row[1] for row in found})


def _take(name: str, number: int) -> Any:
    def ask(ctx: Context, o: Ask) -> str:
        chance = random.random()
        if o.mood == "closed" and number == SHOPS - 5:
            raise Rejected("closed today")
        if o.mood == "slow" and number % 4 == 1:
            time.sleep(0.4)
        if o.mood == "moody" and chance < 0.1:
            raise RetryLater("200ms")
        if o.mood == "moody" and chance < 0.2:
            return NotYet("200ms")
        if o.mood == "moody" and chance < 0.3:
            raise RuntimeError("a moody shop")
        with _store(os.getpid()).begin() as tx, barrier(tx, ctx) as first:
            if first:
                tx.execute(insert(asked).values(key=ctx.key, job_id=ctx.key.split(":")[0]))
                first.keep(name)
            return first.result

    def forget(ctx: Context, o: Ask, price: Any) -> None:
        with _store(os.getpid()).begin() as tx, barrier(tx, ctx) as first:
            if first:
                assert tx.execute(delete(asked).where(asked.c.key == ctx.action_key)).rowcount == 1

    ask.__name__ = ask.__qualname__ = name
    forget.__name__ = forget.__qualname__ = f"forget_{name}"
    return ask, forget


def _step(name: str, number: int = 0, **words: Any) -> Any:
    action, undo = _take(name, number)
    step = prices.step(retry=QUICK, timeout="5s", **words)(action)
    if not words.get("pivot"):
        step.compensate("exact", retry=QUICK)(undo)
    return step


root = _step("look_up", lane="desk")
shops = [
    _step(f"shop_{n}", n, lane="shops", after=[root], batchable=True) for n in range(1, SHOPS + 1)
]
meet = _step("compare", lane="shops", after=shops)
tell = _step("tell", lane="desk", after=[meet], pivot=True)
