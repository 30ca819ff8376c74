"""A developer's saga with a mistake, in a file that processes share: money is given back each time that the undo is called."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import BaseModel

from surefoot import Context, EffectReport, Saga

FILE = "GIFTS"


class Gift(BaseModel):
    person: str
    cents: int


gift = Saga("gift", version=1, input=Gift, examples=[Gift(person="Ada", cents=500)])


def moves() -> closing[sqlite3.Connection]:
    connection = sqlite3.connect(os.environ[FILE], timeout=20, isolation_level=None)
    connection.execute("CREATE TABLE IF NOT EXISTS moves (key TEXT, cents INT)")
    return closing(connection)


@gift.step(lane="vouchers")
def take_voucher(ctx: Context, o: Gift) -> int:
    with moves() as book:
        book.execute(
            "INSERT INTO moves SELECT ?, ? WHERE NOT EXISTS (SELECT 1 FROM moves WHERE key = ?)",
            (ctx.key, o.cents, ctx.key),
        )
    return o.cents


@take_voucher.compensate(fidelity="exact")
def give_back(ctx: Context, o: Gift, taken: int | None) -> None:
    with moves() as book:
        cents = (
            -o.cents
            if book.execute(
                "SELECT 1 FROM moves WHERE key = ? AND cents > 0", (ctx.action_key,)
            ).fetchone()
            else 0
        )
        book.execute(
            "INSERT INTO moves VALUES (?, 0)", (ctx.action_key,)
        )  # the action comes too late from now on
        book.execute("INSERT INTO moves VALUES (?, ?)", (ctx.key, cents))


@gift.step(lane="letters", pivot=True, undo=None)
def write_letter(ctx: Context, o: Gift) -> None: ...


@gift.effect_reader("vouchers")
def seen(keys: Iterable[str]) -> list[EffectReport]:
    with moves() as book:
        there = {row[0] for row in book.execute("SELECT key FROM moves WHERE cents > 0")}
        back = {row[0] for row in book.execute("SELECT key FROM moves WHERE cents < 0")}
    return [
        EffectReport(key, "undone" if key.replace(":action", ":undo") in back else "done")
        for key in keys
        if key in there
    ]


@gift.invariant
def nobody_is_given_money(world: Any) -> Iterator[str]:
    with moves() as book:
        (total,) = book.execute(
            "SELECT coalesce(sum(cents), 0) FROM moves WHERE key LIKE ?", (f"{world.job.id}:%",)
        ).fetchone()
    if total < 0:
        yield f"{-total} cents were given back that nobody had paid"


@gift.test_environment
def pretend() -> Iterator[None]:
    with TemporaryDirectory() as folder:
        os.environ[FILE] = f"{folder}/gifts.sqlite"
        try:
            yield
        finally:
            del os.environ[FILE]
