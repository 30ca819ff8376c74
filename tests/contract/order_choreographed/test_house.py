"""The threads of a service: an outage is a sentence in the log when it begins and one when it is over, a mistake has its traceback."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from surefoot.workers.sagas.order_choreographed import house
from surefoot.workers.sagas.order_choreographed.bus import BusDown
from surefoot.workers.sagas.order_choreographed.house import House


class NoBus:
    def close(self) -> None:
        return None


@pytest.mark.parametrize(
    ("trouble", "traceback"),
    [
        (BusDown("network"), False),
        (
            OperationalError("select 1", None, RuntimeError("the database system is starting up")),
            False,
        ),
        (KeyError("a mistake"), True),
    ],
)
def test_given_trouble_round_after_round_when_it_is_over_then_it_was_said_once_and_only_a_mistake_has_a_traceback(
    monkeypatch: pytest.MonkeyPatch, trouble: Exception, traceback: bool
) -> None:
    monkeypatch.setattr(house, "OUTAGE_PAUSE_S", 0.0)
    bus: Any = NoBus()
    here = House((), lambda: bus)
    rounds = iter([trouble, trouble, trouble, None, None])

    def round_of(_bus: Any) -> None:
        if (error := next(rounds, "over")) is None:
            return
        if isinstance(error, Exception):
            raise error
        here.halt.set()

    with capture_logs() as lines:
        here._for_ever("reader", round_of)
    assert [line["event"] for line in lines] == ["events.reader_stopped", "events.reader_works"]
    assert lines[0]["exc_info"] is traceback
