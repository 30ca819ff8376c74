"""Lint reads the source of steps: mistakes that run, and nothing where there is a doubt."""

from __future__ import annotations

import random
import time
import uuid
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from pydantic import BaseModel

from surefoot import NotYet, Rejected, Saga
from surefoot.app.saga.lint_warnings import advice


class Wish(BaseModel):
    cents: int


bank: Any = None
tx: Any = None
token = ""
pool = random.Random(1)


def told(fn: Any, **words: Any) -> list[tuple[int, str]]:
    """(line within the function, what is said) of a step's source."""
    saga = Saga("read", version=1, input=Wish, examples=[Wish(cents=1)])
    fn.__name__ = "act"
    saga.step(lane="a", undo=None, note="stays", safe_to_drill=True, **words)(fn)
    first = fn.__code__.co_firstlineno
    found = [
        a
        for a in advice(saga, lambda lane: 600.0)
        if "source" not in a.says and a.step and a.where.rpartition(":")[2].isdecimal()
    ]
    return [(int(one.where.rpartition(":")[2]) - first, one.says) for one in found]


# --- mistakes ------------------------------------------------------------------------------------------------------
def attempt_in_a_key(ctx: Any, o: Wish) -> None:
    bank.charge(o.cents, key=f"{ctx.job_id}:{ctx.attempt}")


def attempt_in_a_named_key(ctx: Any, o: Wish) -> None:
    charge_key = ctx.job_id + str(ctx.attempt)
    bank.charge(o.cents, charge_key)


def uuid_in_a_header(ctx: Any, o: Wish) -> None:
    bank.post("/charges", headers={"Idempotency-Key": str(uuid4())})


def swallowed(ctx: Any, o: Wish) -> None:
    try:
        bank.charge(ctx.key, o.cents)
    except Exception:
        pass


def swallowed_bare(ctx: Any, o: Wish) -> bool:
    try:
        bank.post("/charges")
    except:  # noqa: E722
        return False
    return True


def refused_too_late(ctx: Any, o: Wish) -> None:
    bank.reserve(ctx.key, o.cents)
    if o.cents > 100:
        raise Rejected("too much")


def refused_after_a_commit(ctx: Any, o: Wish) -> None:
    tx.commit()
    raise Rejected("no")


def new_id(ctx: Any, o: Wish) -> str:
    return str(uuid.uuid4())


def the_time(ctx: Any, o: Wish) -> dict[str, Any]:
    return {"at": datetime.now(UTC).isoformat()}


def chance(ctx: Any, o: Wish) -> float:
    return random.random() + time.time()


def drawn(ctx: Any, o: Wish) -> float:
    return pool.random()


def writes_a_global(ctx: Any, o: Wish) -> None:
    global token
    token = "t"


@pytest.mark.parametrize(
    ("fn", "line", "says"),
    [
        pytest.param(attempt_in_a_key, 1, "puts ctx.attempt into a key", id="attempt"),
        pytest.param(
            attempt_in_a_named_key, 1, "puts ctx.attempt into a key", id="attempt-by-name"
        ),
        pytest.param(uuid_in_a_header, 1, "makes a key by uuid4()", id="uuid-in-a-key"),
        pytest.param(
            swallowed,
            3,
            "swallows every error (except Exception: without raise)",
            id="except-exception",
        ),
        pytest.param(
            swallowed_bare, 3, "swallows every error (except: without raise)", id="bare-except"
        ),
        pytest.param(
            refused_too_late,
            3,
            "raises Rejected, which says that nothing happened, behind the write in line",
            id="rejected",
        ),
        pytest.param(refused_after_a_commit, 2, "raises Rejected", id="rejected-after-a-commit"),
        pytest.param(
            new_id, 1, "returns uuid.uuid4(), so a second attempt answers otherwise", id="uuid"
        ),
        pytest.param(the_time, 1, "returns datetime.now(UTC)", id="now"),
        pytest.param(chance, 1, "returns random.random()", id="random"),
        pytest.param(drawn, 1, "returns pool.random()", id="a-generator-of-ones-own"),
        pytest.param(writes_a_global, 1, "writes the global token", id="global"),
    ],
)
def test_given_a_mistake_in_a_step_s_source_when_read_then_it_is_told_by_its_line(
    fn: Any, line: int, says: str
) -> None:
    ((found_line, found),) = told(fn)
    assert found_line == line
    assert found.startswith(says)
    assert found.endswith(".")


# --- none ----------------------------------------------------------------------------------------------------------
def keyed(ctx: Any, o: Wish) -> Any:
    ctx.log.info("again", attempt=ctx.attempt, at=time.time())
    return bank.charge(o.cents, key=ctx.key, sort_keys=False)


def raises_again(ctx: Any, o: Wish) -> None:
    try:
        bank.charge(ctx.key)
    except Exception as error:
        raise RuntimeError("the bank") from error


def waits(ctx: Any, o: Wish) -> Any:
    try:
        return bank.find(ctx.key)
    except Exception:
        return NotYet(5)


def expects(ctx: Any, o: Wish) -> None:
    try:
        bank.charge(ctx.key)
    except ValueError:
        pass


def harmless(ctx: Any, o: Wish) -> int:
    try:
        return int("x")
    except Exception:
        return 0


def refused_by_the_bank(ctx: Any, o: Wish) -> str:
    answer = bank.charge(ctx.key, o.cents)
    if answer.declined:
        raise Rejected("declined")
    return str(answer.id)


def refused_by_an_error(ctx: Any, o: Wish) -> None:
    try:
        bank.charge(ctx.key)
    except ValueError:
        raise Rejected("declined") from None


def rolled_back(ctx: Any, o: Wish) -> None:
    with tx.begin() as connection:
        connection.write(ctx.key)
        if o.cents > 100:
            raise Rejected("too much")


def looked_first(ctx: Any, o: Wish) -> None:
    bank.check_limit(ctx.key)
    if o.cents > 100:
        raise Rejected("too much")


def kept(ctx: Any, o: Wish, first: Any = None) -> Any:
    if first:
        first.keep({"id": str(uuid4())})
    return first.result


def sleeps(ctx: Any, o: Wish) -> None:
    return time.sleep(0)


@pytest.mark.parametrize(
    "fn",
    [
        keyed,
        raises_again,
        waits,
        expects,
        harmless,
        refused_by_the_bank,
        refused_by_an_error,
        rolled_back,
        looked_first,
        kept,
        sleeps,
    ],
)
def test_given_sound_source_when_read_then_nothing_is_said(fn: Any) -> None:
    assert told(fn) == []


def test_given_function_without_a_source_when_read_then_nothing_is_said() -> None:
    space: dict[str, Any] = {}
    exec("def act(ctx, o):\n    global x\n    x = 1\n", space)
    assert told(space["act"]) == []


def test_given_undo_with_a_mistake_when_read_then_it_is_told_by_the_step() -> None:
    saga = Saga("undo", version=1, input=Wish, examples=[Wish(cents=1)])

    @saga.step(lane="a", safe_to_drill=True)
    def act(ctx: Any, o: Wish) -> None: ...

    @act.compensate(fidelity="exact")
    def back(ctx: Any, o: Wish) -> None:
        bank.refund(key=f"refund:{ctx.attempt}")

    assert [one.step for one in advice(saga, lambda lane: 600.0) if "ctx.attempt" in one.says] == [
        "act"
    ]
