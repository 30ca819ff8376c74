"""The words of SUREFOOT_FAULTS, and what happens at a point."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from surefoot.app import faults
from surefoot.app.config import settings
from surefoot.app.errors import SettingsError
from surefoot.app.faults import (
    Crashed,
    Fault,
    Injected,
    InjectedRefusal,
    Injector,
    Point,
    What,
    injecting,
    parse_faults,
    reached,
)
from surefoot.app.saga.fault_targets import check_targets
from surefoot.app.saga.registry import Registry
from tests.support.waiting import wait_until
from tests.unit.workers.fork_saga import fork


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    assert faults.active is None
    yield
    assert faults.active is None


class Counting(Counter[str]):
    """Counts as the store does, and forgets with its process."""

    def due(self, key: str, times: int) -> bool:
        if self[key] >= times:
            return False
        self[key] += 1
        return True


def test_given_a_plan_when_read_then_targets_words_points_and_numbers_are_known() -> None:
    plan = parse_faults(
        " order.pay:crash@after_effect*3;order.reserve.undo:delay=1.5@before_claim; ;web.submit:error@after_commit"
    )
    assert plan == (
        Fault("order.pay", What.CRASH, Point.AFTER_EFFECT, 3),
        Fault("order.reserve.undo", What.DELAY, Point.BEFORE_CLAIM, 1, 1.5),
        Fault("web.submit", What.ERROR, Point.AFTER_COMMIT),
    )
    assert [fault.key for fault in plan] == [
        "order.pay:crash@after_effect",
        "order.reserve.undo:delay=1.5@before_claim",
        "web.submit:error@after_commit",
    ]
    assert parse_faults("") == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("crash", "is not TARGET:WHAT@POINT", id="no form"),
        pytest.param(
            "a.b:boom@after_claim",
            "nothing is called 'boom'; there are crash, error, reject, fail, hang or delay=S",
            id="what",
        ),
        pytest.param(
            "a.b:crash@somewhere",
            "no point is called 'somewhere'; there are before_claim, ",
            id="point",
        ),
        pytest.param("a:crash@after_claim", "no target 'a'", id="target"),
        pytest.param("a.b.done:crash@after_claim", "no target 'a.b.done'", id="kind"),
        pytest.param("web.sent:crash@after_commit", "no target 'web.sent'", id="web"),
        pytest.param(
            "web.submit:crash@before_ack",
            "the point of web.submit is before_effect, ",
            id="no such point",
        ),
        pytest.param(
            "relay.publish:crash@after_claim",
            "the point of relay.publish is after_commit or after_publish",
            id="relay",
        ),
        pytest.param(
            "a.b:reject@after_effect", "its one point is before_effect", id="a refusal that lies"
        ),
        pytest.param(
            "a.b:fail@before_effect",
            "its one point is after_effect",
            id="a failure without its effect",
        ),
        pytest.param(
            "web.submit:reject@before_effect", "before_effect of an operation", id="nobody refuses"
        ),
        pytest.param("a.b:error@before_ack", "use crash, hang or delay=S", id="nothing can fail"),
        pytest.param("a.b:delay@after_claim", "write delay=S", id="no seconds"),
        pytest.param("a.b:delay=nan@after_claim", "write delay=S", id="not a number"),
        pytest.param("a.b:crash=2@after_claim", "crash takes no number", id="a number too many"),
        pytest.param("a.b:crash@after_claim*0", "TIMES is a whole number from 1", id="never"),
        pytest.param(
            "a.b:crash@after_claim*²", "TIMES is a whole number from 1", id="a digit that is none"
        ),
        pytest.param(
            "a.b:crash@after_claim;a.b:crash@after_claim*2",
            "is there twice; write a.b:crash@after_claim*3",
            id="twice",
        ),
    ],
)
def test_given_a_fault_that_cannot_be_then_one_sentence_says_what_is_wrong(
    text: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUREFOOT_ENV", "test")
    monkeypatch.setenv("SUREFOOT_FAULTS", text)
    with pytest.raises(SettingsError) as refused:
        settings()
    assert said in refused.value.message
    assert refused.value.message.startswith("SUREFOOT_FAULTS: ")


def test_given_production_then_faults_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUREFOOT_FAULTS", "a.b:crash@after_claim")
    with pytest.raises(SettingsError, match="refused unless SUREFOOT_ENV is test or drill"):
        settings()


def test_given_known_sagas_then_a_target_that_is_not_there_is_refused_with_the_nearest_name() -> (
    None
):
    known = Registry([fork])
    check_targets(
        parse_faults(
            "fork.left:crash@after_claim;fork.left.undo:error@before_claim;web.submit:hang@after_commit"
        ),
        known,
    )
    with pytest.raises(
        SettingsError, match=r"no operation 'fork\.lefd'\. Did you mean 'fork\.left'"
    ):
        check_targets(parse_faults("fork.lefd:crash@after_claim"), known)
    with pytest.raises(SettingsError, match=r"no operation 'fork\.left_too\.undo'"):
        check_targets(parse_faults("fork.left_too.undo:crash@after_claim"), known)


def test_given_a_plan_when_a_point_is_reached_then_it_fires_there_and_as_often_as_it_says() -> None:
    plan = parse_faults(
        "fork.left:error@after_claim*2;fork.left.undo:reject@before_effect;fork.right:delay=0.001@after_effect"
    )
    counting = Counting()
    reached(Point.AFTER_CLAIM, "fork", "left")  # nobody listens
    with injecting(Injector(plan, counting.due)):
        reached(Point.BEFORE_CLAIM, "fork", "left")
        reached(Point.AFTER_CLAIM, "fork", "left", "undo")
        for _ in range(2):
            with pytest.raises(Injected):
                reached(Point.AFTER_CLAIM, "fork", "left")
        reached(Point.AFTER_CLAIM, "fork", "left")
        with pytest.raises(InjectedRefusal) as refusal:
            reached(Point.BEFORE_EFFECT, "fork", "left", "undo")
        reached(Point.AFTER_EFFECT, "fork", "right")
    assert refusal.value.nothing_happened
    assert counting == {fault.key: fault.times for fault in plan}
    reached(Point.AFTER_CLAIM, "fork", "left")


def test_given_a_simulation_then_a_crash_is_what_it_says() -> None:
    class Simulated(Injector):
        def crash(self) -> None:
            raise Crashed("here")

    with (
        injecting(Simulated(parse_faults("fork.left:crash@after_claim"), Counting().due)),
        pytest.raises(Crashed),
    ):
        reached(Point.AFTER_CLAIM, "fork", "left")


def crash_at_a_point() -> None:
    with injecting(Injector(parse_faults("fork.left:crash@after_claim"), Counting().due)):
        reached(Point.AFTER_CLAIM, "fork", "left")


def test_given_a_crash_then_the_process_ends_by_sigkill() -> None:
    child = multiprocessing.get_context("fork").Process(target=crash_at_a_point)
    child.start()
    child.join(20)
    assert child.exitcode == -signal.SIGKILL


def test_given_a_hang_then_it_is_deaf_to_a_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    naps = iter([TimeoutError("took too long"), None])

    class Over(BaseException):
        """Ends the test."""

    def nap(_seconds: float) -> None:
        said = next(naps, Over())
        if said is not None:
            raise said

    monkeypatch.setattr(faults.time, "sleep", nap)
    with (
        injecting(Injector(parse_faults("fork.left:hang@before_effect"), Counting().due)),
        pytest.raises(Over),
    ):
        reached(Point.BEFORE_EFFECT, "fork", "left")


def test_given_threads_that_reach_a_point_together_then_each_asks_whether_it_is_due() -> None:
    asked: list[str] = []
    gate = threading.Barrier(4)

    def due(key: str, times: int) -> bool:
        asked.append(key)
        return False

    def walk() -> None:
        gate.wait(60)
        reached(Point.AFTER_COMMIT, "web", "submit")

    with injecting(Injector(parse_faults("web.submit:error@after_commit"), due)):
        threads = [threading.Thread(target=walk) for _ in range(4)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(asked) == 4)
        for thread in threads:
            thread.join()
