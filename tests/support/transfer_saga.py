"""A developer's own saga, as small as one can be that has something to undo: money from one account to another.

The accounts are a dict with a barrier of its own. `careless` is the same with the mistake that a drill is for: money is given
back each time that an undo is called. `safe` has no test environment and says that every step is harmless; `undeclared` says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel

from surefoot import EffectReport, EffectState, Rejected, Saga, stand_in

START = {"ann": 100, "bob": 100}


class Transfer(BaseModel):
    sender: str
    receiver: str
    amount: int


@stand_in  # a bank: it does not die in the middle of a booking when our worker does
class Accounts:
    """`keys`: effect key -> what became of it."""

    def __init__(self, *, careless: bool = False) -> None:
        self.careless = careless
        self.begin()

    def begin(self) -> None:
        self.balance = dict(START)
        self.keys: dict[str, EffectState] = {}

    def book(self, key: str, name: str, amount: int) -> int:
        if self.keys.get(key) in (EffectState.UNDONE, EffectState.NONE):
            raise Rejected("undone before it came")
        if key not in self.keys:
            self.keys[key] = EffectState.DONE
            self.balance[name] += amount
        return self.balance[name]

    def take_back(self, key: str, name: str, amount: int) -> None:
        if self.keys.get(key) == EffectState.DONE or (self.careless and key in self.keys):
            self.balance[name] -= amount
            self.keys[key] = EffectState.UNDONE
        else:
            self.keys.setdefault(key, EffectState.NONE)

    def seen(self, keys: Iterable[str]) -> list[EffectReport]:
        return [EffectReport(key, self.keys[key]) for key in keys if key in self.keys]


def transfer_saga(
    name: str,
    accounts: Accounts,
    *,
    safe: bool = False,
    world: bool = True,
    queue_timeout: str | None = None,
) -> Saga[Transfer]:
    example = Transfer(sender="ann", receiver="bob", amount=10)
    saga = Saga(name, version=1, input=Transfer, examples=[example], queue_timeout=queue_timeout)

    @saga.step(lane="accounts", safe_to_drill=safe)
    def withdraw(ctx: Any, o: Transfer) -> int:
        return accounts.book(ctx.key, o.sender, -o.amount)

    @withdraw.compensate(fidelity="exact")
    def put_back(ctx: Any, o: Transfer, left: int | None) -> None:
        accounts.take_back(ctx.action_key, o.sender, -o.amount)

    @saga.step(lane="accounts", safe_to_drill=safe)
    def deposit(ctx: Any, o: Transfer) -> int:
        return accounts.book(ctx.key, o.receiver, o.amount)

    @deposit.compensate(fidelity="exact")
    def take_back(ctx: Any, o: Transfer, left: int | None) -> None:
        accounts.take_back(ctx.action_key, o.receiver, o.amount)

    @saga.step(lane="notes", pivot=True, safe_to_drill=safe, undo=None)
    def note(ctx: Any, o: Transfer) -> None: ...

    @saga.effect_reader("accounts")
    def booked(keys: Iterable[str]) -> list[EffectReport]:
        return accounts.seen(keys)

    @saga.invariant
    def no_money_is_made(world: Any) -> Iterator[str]:
        if world.job.state in ("completed", "failed", "cancelled") and sum(
            accounts.balance.values()
        ) != sum(START.values()):
            yield f"there were {sum(START.values())} in the accounts, and there are {sum(accounts.balance.values())}"

    if world:

        @saga.test_environment
        def fresh_accounts() -> Iterator[None]:
            accounts.begin()
            yield

    return saga


transfer = transfer_saga("transfer", Accounts())
careless = transfer_saga("careless", Accounts(careless=True))
safe = transfer_saga("safe", Accounts(), safe=True, world=False)
undeclared = transfer_saga("undeclared", Accounts(), world=False)
