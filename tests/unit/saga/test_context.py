from __future__ import annotations

import math
import time
from typing import Any

import pytest
from pydantic import BaseModel
from structlog.testing import capture_logs

from surefoot.app.errors import StopRequested
from surefoot.app.saga.context import Context, NullPort


class Page(BaseModel):
    number: int


class Keeping(NullPort):
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def progress(self, fraction: float, message: str) -> None:
        self.seen.append((fraction, message))

    def checkpoint(self, value: Any) -> None:
        self.seen.append(value)

    def check(self) -> None:
        raise StopRequested


def context(**more: Any) -> Context:
    return Context(**{"job_id": "j1", "saga": "order", "step": "charge", "kind": "undo", **more})


def test_given_undo_when_keys_are_asked_then_its_own_and_the_action_s() -> None:
    assert (context().key, context().action_key) == ("j1:charge::undo", "j1:charge::action")
    assert context(item="4").key == "j1:charge:4:undo"


def test_given_deadline_when_time_passes_then_remaining_never_falls_below_zero() -> None:
    assert 0 < context(deadline=time.monotonic() + 60).remaining() <= 60
    assert context(deadline=time.monotonic() - 60).remaining() == 0


@pytest.mark.parametrize(
    ("given", "shown"), [(0.4, 0.4), (2, 1.0), (-1, 0.0), (math.nan, 0.0), (math.inf, 1.0)]
)
def test_given_any_fraction_when_progress_is_told_then_cut_to_the_bar(
    given: float, shown: float
) -> None:
    port = Keeping()
    context(port=port).progress(given, "page 4")
    assert port.seen == [(shown, "page 4")]


def test_given_checkpoint_when_kept_then_this_attempt_reads_what_the_next_one_will() -> None:
    port = Keeping()
    ctx = context(port=port, last_checkpoint={"rows": 10})
    assert ctx.last_checkpoint == {"rows": 10}
    ctx.checkpoint({"page": Page(number=4), "range": (1, 2)})
    assert ctx.last_checkpoint == port.seen[0] == {"page": {"number": 4}, "range": [1, 2]}


@pytest.mark.parametrize(
    "value", [object(), math.nan, {"a": "\0"}, 2**70], ids=["object", "nan", "nul", "huge"]
)
def test_given_checkpoint_that_is_no_json_when_kept_then_refused_and_the_last_one_stays(
    value: Any,
) -> None:
    ctx = context(last_checkpoint=1)
    with pytest.raises(TypeError, match="the checkpoint of step charge cannot be kept as JSON"):
        ctx.checkpoint(value)
    assert ctx.last_checkpoint == 1


def test_given_turned_job_when_checked_then_stop_is_asked_for() -> None:
    with pytest.raises(StopRequested):
        context(port=Keeping()).check()
    context().check()


def test_given_log_when_written_then_it_knows_where_it_is() -> None:
    with capture_logs() as logs:
        context(attempt=3).log.info("paid", cents=5)
    place = {
        "job": "j1",
        "saga": "order",
        "step": "charge",
        "item": "",
        "kind": "undo",
        "attempt": 3,
        "fence": 1,
    }
    assert logs == [{"event": "paid", "cents": 5, "log_level": "info", **place}]
