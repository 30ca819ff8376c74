"""What a drill compares beside the faults: the world before and after, workers' memories, the clock, and how examples end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import BaseModel

from surefoot import Context, NotYet, Rejected, Saga, stand_in
from surefoot.app.cli.drill import drill as command
from surefoot.app.drill import scene
from surefoot.app.drill.run import drill
from tests.support import forgetful


class Wish(BaseModel):
    cents: int


def one_step(name: str, fn: Any, examples: Any = ()) -> Saga[Wish]:
    saga = Saga(name, version=1, input=Wish, examples=examples or [Wish(cents=5)])
    fn.__name__ = "act"
    saga.step(lane="a", safe_to_drill=True, no_effect=True)(fn)
    return saga


# --- the world before and after ------------------------------------------------------------------------------------
@stand_in
class Shop:
    def __init__(self) -> None:
        self.reserved: set[str] = set()
        self.notices: list[str] = []

    def reserve(self, key: str) -> None:
        self.reserved.add(key)

    def notice(self, key: str) -> None:
        if key not in self.notices:
            self.notices.append(key)

    def release(self, key: str) -> None:
        self.reserved.discard(key)

    def snapshot(self) -> dict[str, Any]:
        return {"reserved": len(self.reserved), "notices": len(self.notices)}


def shop_saga(*, tidy: bool, fidelity: Any = "exact") -> Saga[Wish]:
    shop = Shop()
    saga = Saga("shop", version=1, input=Wish, examples=[Wish(cents=5)])

    @saga.step(lane="shop")
    def reserve(ctx: Context, o: Wish) -> None:
        shop.reserve(ctx.key)
        if not tidy:
            shop.notice(ctx.key)

    @reserve.compensate(fidelity=fidelity)
    def release(ctx: Context, o: Wish) -> None:
        shop.release(ctx.action_key)

    @saga.step(lane="shop", pivot=True, no_effect=True)
    def note(ctx: Context, o: Wish) -> None: ...

    @saga.test_environment
    def world() -> Iterator[Shop]:
        yield shop

    return saga


def test_given_undo_that_is_not_as_exact_as_it_says_when_undone_then_what_is_left_is_named() -> (
    None
):
    (result,) = drill(shop_saga(tidy=False), only="note:reject@before_effect").failed
    assert (
        result.why
        == "the job is undone, each effect exactly, and the world is not as before: notices was 1, is 2"
    )
    assert result.step == "reserve"


@pytest.mark.parametrize(
    "saga",
    [
        pytest.param(shop_saga(tidy=True), id="tidy"),
        pytest.param(shop_saga(tidy=False, fidelity="partial"), id="says-so"),
    ],
)
def test_given_world_as_before_or_undo_that_says_what_it_leaves_when_undone_then_nothing_is_found(
    saga: Any,
) -> None:
    assert drill(saga, only="note:reject@before_effect").failed == []


# --- a worker's memory -----------------------------------------------------------------------------------------------
def test_given_step_that_relies_on_a_module_when_its_worker_is_gone_then_it_is_found_and_the_names_are_told() -> (
    None
):
    drawn = drill(forgetful.by_module, only="sign_in:kill-all@after_commit")
    assert "tests.support.forgetful.tokens, which each worker has for itself" in drawn.failed[0].why
    assert forgetful.tokens == {}
    assert drill(forgetful.by_result, only="sign_in_and_say:kill-all@after_commit").failed == []


def test_given_fake_service_that_is_a_dict_of_a_module_when_drilled_then_all_workers_share_it() -> (
    None
):
    assert drill(forgetful.by_service, only="put:kill-all@after_commit").failed == []


# --- the clock -------------------------------------------------------------------------------------------------------
def test_given_step_that_waits_by_ctx_now_when_drilled_then_a_month_passes_at_once() -> None:
    def waits(ctx: Context, o: Wish) -> NotYet | None:
        began = ctx.last_checkpoint
        if began is None:
            ctx.checkpoint(ctx.now().isoformat())
            return NotYet("10d")
        return None if ctx.now() >= _parsed(began) + timedelta(days=30) else NotYet("10d")

    (result,) = drill(one_step("patient", waits), only="example-0").results
    assert (result.job_state, result.why) == ("completed", "")
    assert 30 * 86400 <= float(result.trace[-1].split(" s")[0]) < 31 * 86400


def _parsed(text: str) -> Any:
    from datetime import datetime

    return datetime.fromisoformat(text)


def test_given_step_that_waits_for_the_wall_clock_when_drilled_then_it_is_told_in_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scene, "REALLY_S", 0.0)
    drawn = drill(one_step("waiting", lambda ctx, o: NotYet("1d")), only="example-0")
    (result,) = drawn.failed
    assert result.why == (
        "the job did not land: act answered NotYet 64 times in 1,512.0 hours of the drill's time. "
        "Does it look at the wall clock (time.time(), datetime.now())? In a drill only ctx.now() passes"
    )
    assert (result.job_state, result.step) == ("not landed", "act")


class Post:
    """Answers when it is let work, and not before."""

    def __init__(self) -> None:
        self.asked: set[str] = set()
        self.answered: set[str] = set()

    def settle(self) -> None:
        self.answered |= self.asked


def test_given_services_that_can_settle_when_a_step_waits_for_them_then_they_work_before_time_passes() -> (
    None
):
    post = Post()

    def asks(ctx: Context, o: Wish) -> NotYet | None:
        post.asked.add(ctx.key)
        return None if ctx.key in post.answered else NotYet("10d")

    saga = one_step("settling", asks)

    @saga.test_environment
    def world() -> Iterator[Post]:
        yield post

    (result,) = drill(saga, only="example-0").results
    assert (result.job_state, result.why) == ("completed", "")
    assert sum("act" in line for line in result.trace) == 2, "asked once more, and not in vain"


# --- how examples end ------------------------------------------------------------------------------------------------
def refuses(ctx: Context, o: Wish) -> None:
    if o.cents < 0:
        raise Rejected("less than nothing")


def test_given_examples_with_their_ends_when_drilled_then_they_are_held_against_what_happened() -> (
    None
):
    saga = one_step(
        "ends",
        refuses,
        [
            (Wish(cents=5), "completed"),
            (Wish(cents=-1), "failed"),
            (Wish(cents=-2), "completed"),
            Wish(cents=-3),
        ],
    )
    found = {r.row.name: r.why for r in drill(saga, only="no fault").results}
    assert found == {
        "example-0": "",
        "example-1": "",
        "example-2": "the job is failed (less than nothing); it should be completed",
        "example-3": "",
    }


@pytest.mark.parametrize("end", ["failed", None])
def test_given_example_that_ends_by_an_error_of_the_code_when_drilled_then_no_example_means_that(
    end: str | None,
) -> None:
    def breaks(ctx: Context, o: Wish) -> str:
        if o.cents == 1:
            raise TypeError("of the code")
        return "x" * (70_000 if o.cents == 2 else 1)

    saga = one_step(
        "broken_examples",
        breaks,
        [Wish(cents=5), *([(Wish(cents=n), end) if end else Wish(cents=n) for n in (1, 2)])],
    )
    first, second, third = drill(saga, only="no fault").results
    assert first.passed
    assert (
        "act was given up by TypeError: of the code; an example may be refused, but no example means that"
        in second.why
    )
    assert "act was given up by ResultTooLarge: the result has" in third.why
    assert (second.step, third.step) == ("act", "act")


# --- who is under way --------------------------------------------------------------------------------------------------
def test_given_a_file_for_errors_when_drilled_then_each_row_is_named_before_it_is_played(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SUREFOOT_SAGAS", "tests.support.transfer_saga")
    done = CliRunner().invoke(
        command,
        ["careless", "--only", "deposit.undo:error@after_effect", "--json"],
        standalone_mode=False,
    )
    assert done.stderr.splitlines() == [
        "example-0",
        "deposit.undo:error@after_effect",
        "FAIL deposit.undo:error@after_effect",
    ]
    assert json.loads(done.stdout)["rows"][0]["step"] == "deposit"
