from __future__ import annotations

from typing import Any

import pytest

from surefoot.app.delivery import publisher as publisher_module
from surefoot.app.delivery.producer import producer_app
from surefoot.app.delivery.publisher import Publisher
from surefoot.app.rules.planner import Chain, Message
from surefoot.app.store.ids import new_id

PLAN = (Chain((Message(new_id(), "order.a", "orders", new_id()),)),)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Canvas:
    """Stands for what a plan becomes; fails while `broken`."""

    def __init__(self) -> None:
        self.broken: Exception | None = None
        self.tries = 0

    def apply_async(self, *_: Any, **__: Any) -> None:
        self.tries += 1
        if self.broken:
            raise self.broken


@pytest.fixture
def canvas(monkeypatch: pytest.MonkeyPatch) -> Canvas:
    made = Canvas()
    monkeypatch.setattr(publisher_module, "to_canvas", lambda app, plan: [made for _ in plan])
    return made


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def publisher(clock: Clock) -> Publisher:
    return Publisher(producer_app("redis://127.0.0.1:1/0"), pause_s=5.0, clock=clock)


def test_given_nothing_to_say_when_published_then_the_broker_is_not_asked(
    publisher: Publisher, canvas: Canvas
) -> None:
    assert publisher.publish(())
    assert canvas.tries == 0


@pytest.mark.parametrize(
    "error", [OSError("refused"), RuntimeError("Retry limit exceeded"), KeyError("host")]
)
def test_given_any_error_when_published_then_false_and_no_exception(
    publisher: Publisher, canvas: Canvas, error: Exception
) -> None:
    canvas.broken = error
    assert not publisher.publish(PLAN)


def test_given_failure_when_published_again_then_no_try_until_the_pause_is_over(
    publisher: Publisher, canvas: Canvas, clock: Clock
) -> None:
    canvas.broken = OSError("refused")
    assert not publisher.publish(PLAN)
    assert publisher.paused
    clock.now += 4.9
    assert not publisher.publish(PLAN)
    assert canvas.tries == 1
    clock.now += 0.2
    canvas.broken = None
    assert publisher.publish(PLAN)
    assert not publisher.paused
    assert canvas.tries == 2


def test_given_plan_of_two_when_the_first_fails_then_the_second_is_not_waited_for(
    publisher: Publisher, canvas: Canvas
) -> None:
    canvas.broken = OSError("timed out")
    assert not publisher.publish(PLAN * 2)
    assert canvas.tries == 1


def test_given_long_outage_when_published_often_then_one_line_is_logged_for_each_change(
    publisher: Publisher, canvas: Canvas, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    monkeypatch.setattr(
        publisher_module,
        "log",
        type(
            "Log",
            (),
            {
                "warning": lambda _, e, **__: lines.append(e),
                "info": lambda _, e, **__: lines.append(e),
            },
        )(),
    )
    canvas.broken = OSError("refused")
    for _ in range(5):
        publisher.publish(PLAN)
        clock.now += 6
    canvas.broken = None
    publisher.publish(PLAN)
    publisher.publish(PLAN)
    assert lines == ["broker.unreachable", "broker.reachable"]
