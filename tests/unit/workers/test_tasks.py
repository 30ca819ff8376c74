from __future__ import annotations

import logging
import pickle
from collections.abc import Collection
from contextlib import suppress
from itertools import count
from typing import Any, ClassVar, cast

import pytest
from celery import Celery
from celery.exceptions import Ignore, Reject, Retry
from structlog.testing import capture_logs

from surefoot.app.config import settings
from surefoot.app.delivery.producer import producer_app
from surefoot.app.engine.runtime import Runtime
from surefoot.app.engine.worker.delivery import Delivery, DeliveryOutcome, ExecutionResult
from surefoot.app.engine.worker.loop import Loop
from surefoot.app.errors import StoreUnavailable
from surefoot.app.saga.registry import Registry
from surefoot.app.store.ids import new_id
from surefoot.workers import boot, continuation, tasks
from surefoot.workers.tasks import REVOKED, UNKNOWN_TASK, StepFailed, StepTask, register_all
from surefoot.workers.time_limits import StepBroke
from tests.support.waiting import wait_until
from tests.unit.workers.batch_saga import batch
from tests.unit.workers.fork_saga import fork

JOB = new_id()
NUMBERS = count()


def element(step: str) -> dict[str, Any]:
    return {
        "task": f"fork.{step}",
        "args": [JOB, ""],
        "kwargs": {},
        "options": {"task_id": f"id-{step}"},
        "subtask_type": None,
        "immutable": True,
    }


class Listening:
    """A publisher that keeps what it was asked to send."""

    paused = False

    def __init__(self) -> None:
        self.app = producer_app("redis://127.0.0.1:1/0")
        self.sent: list[tuple[str, list[str]]] = []
        self.guarded_calls = 0

    def go_on(self, following: Any, chain: Any = (), **_: Any) -> bool:
        self.sent.append((following.task, [rest["task"] for rest in chain]))
        return True

    def guarded(self, send: Any) -> bool:
        self.guarded_calls += 1
        return True


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Listening:
    listening = Listening()
    monkeypatch.setattr(boot, "publisher", lambda: listening)
    monkeypatch.setattr(continuation, "registry", lambda: Registry([fork]))
    return listening


@pytest.fixture(scope="module")
def app() -> Celery:
    made = Celery("unit", set_as_current=False, fixups=[])
    made.config_from_object("surefoot.celeryconfig")
    register_all(made, Registry([fork]))
    return made


class ScriptedLoop(Loop):
    """The loop of a worker, in which a task answers for the engine."""

    def __init__(self, task: Scripted) -> None:
        super().__init__(cast(Runtime, None))
        self._task = task

    def carry_out(self, delivery: Delivery) -> ExecutionResult:
        return self._task.carry_out(delivery)

    def mark_unsent(self, operation_ids: Collection[str]) -> None:
        self._task.unsent.append(sorted(operation_ids))


class Scripted(StepTask):
    """Answers what it is told to."""

    abstract = True
    answer: Any = None
    unsent: ClassVar[list[list[str]]] = []

    def loop(self) -> Loop:
        return ScriptedLoop(self)

    def event_of_dropped(self) -> tuple[str, dict[str, Any]] | None:
        return REVOKED

    def carry_out(self, delivery: Delivery) -> ExecutionResult:
        self.seen = delivery
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


def run(
    app: Celery, answer: Any, *, chain: Any = None, chord: Any = None, came_by: str = ""
) -> tuple[Any, Any]:
    """Run the task as Celery's tracer does; gives the task and its request."""
    task = app.register_task(
        type(
            "scripted", (Scripted,), {"name": f"fork.scripted_{next(NUMBERS)}", "answer": answer}
        )()
    )
    task.push_request(
        id="id-a",
        task="fork.first",
        root_id=JOB,
        chain=chain,
        chord=chord,
        delivery_info={"routing_key": came_by},
    )
    try:
        task.outcome = task.run(JOB, "")
        return task, task.request
    finally:
        task.pop_request()


def test_given_registry_when_registered_then_a_task_for_each_operation_with_its_limit(
    app: Celery,
) -> None:
    ours = {name for name in app.tasks if name.startswith("fork.")}
    assert ours >= {"fork.first", "fork.first.undo", "fork.left_too", "fork.join", "fork.last"}
    assert UNKNOWN_TASK in app.tasks
    assert app.tasks["fork.left"].time_limit == 2 + 5 + 30
    assert app.tasks["fork.first"].acks_late
    assert app.tasks["fork.first"].reject_on_worker_lost


def test_given_completion_when_concluded_then_the_next_of_the_chain_leaves_with_the_rest(
    app: Celery, publisher: Listening
) -> None:
    task, request = run(
        app,
        ExecutionResult(DeliveryOutcome.COMPLETED, frozenset({"id-b"})),
        chain=[element("c"), element("b")],
    )
    assert task.outcome == "completed"
    assert publisher.sent == [("fork.b", ["fork.c"])]
    assert request.chain is None
    assert task.seen.carried == {"id-b"}


@pytest.mark.parametrize(("queue", "goes_on"), [("a", True), ("b", False), (None, False)])
def test_given_what_comes_next_when_run_then_the_child_goes_on_only_in_the_lane_of_its_message(
    app: Celery, publisher: Listening, queue: str | None, goes_on: bool
) -> None:
    following = element("left")
    following["options"] |= {"queue": queue} if queue else {}
    task, _ = run(app, ExecutionResult(DeliveryOutcome.COMPLETED), chain=[following], came_by="a")
    assert task.seen.carried == {"id-left"}
    assert (task.seen.rider is not None) is goes_on


def test_given_repeated_message_when_concluded_then_its_chain_goes_on(
    app: Celery, publisher: Listening
) -> None:
    run(app, ExecutionResult(DeliveryOutcome.REPEATED), chain=[element("b")])
    assert publisher.sent == [("fork.b", [])]


def test_given_turned_job_when_concluded_then_chain_and_chord_end(
    app: Celery, publisher: Listening
) -> None:
    _, request = run(
        app,
        ExecutionResult(DeliveryOutcome.COMPLETED, frozenset({"id-e"}), True),
        chain=[element("b")],
    )
    assert publisher.sent == []
    assert request.chain is None
    _, request = run(
        app,
        ExecutionResult(DeliveryOutcome.COMPLETED, frozenset({"id-e"}), True),
        chord=element("e"),
    )
    assert request.joins_released == frozenset()


def test_given_join_released_when_concluded_then_only_what_rides_here_is_marked(
    app: Celery, publisher: Listening
) -> None:
    _, request = run(
        app,
        ExecutionResult(DeliveryOutcome.COMPLETED, frozenset({"id-e", "id-x"})),
        chord=element("e"),
    )
    assert request.joins_released == {"id-e"}


def test_given_broker_known_to_be_away_when_run_then_nothing_rides_and_nothing_is_sent(
    app: Celery, publisher: Listening
) -> None:
    publisher.paused = True
    task, request = run(
        app, ExecutionResult(DeliveryOutcome.COMPLETED, frozenset({"id-b"})), chain=[element("b")]
    )
    assert task.seen.carried == frozenset()
    assert publisher.sent == []
    assert request.chain is None


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (DeliveryOutcome.DROPPED, Ignore),
        (DeliveryOutcome.RETRY, Retry),
        (DeliveryOutcome.PARKED, Retry),
        (DeliveryOutcome.FAILED, StepFailed),
    ],
)
def test_given_other_verdict_when_concluded_then_celery_is_told_by_an_exception(
    app: Celery, publisher: Listening, verdict: DeliveryOutcome, expected: type[Exception]
) -> None:
    with pytest.raises(expected):
        run(app, ExecutionResult(verdict, error="because"), chain=[element("b")])
    assert publisher.sent == []
    assert publisher.guarded_calls == (1 if verdict == DeliveryOutcome.DROPPED else 0)


@pytest.mark.parametrize(
    ("performed", "said"),
    [
        (ExecutionResult(DeliveryOutcome.COMPLETED, attempt=1), "completed"),
        (ExecutionResult(DeliveryOutcome.COMPLETED, attempt=4), "completed, attempt 4"),
        (
            ExecutionResult(DeliveryOutcome.RETRY, error="the bank did not answer", attempt=1),
            "the bank did not answer",
        ),
        (
            ExecutionResult(DeliveryOutcome.RETRY, error="the bank did not answer", attempt=3),
            "attempt 3: the bank did not answer",
        ),
        (ExecutionResult(DeliveryOutcome.FAILED, attempt=5), "attempt 5: failed"),
    ],
)
def test_given_an_attempt_that_is_not_the_first_when_celery_is_told_then_its_number_too(
    performed: ExecutionResult, said: str
) -> None:
    assert performed.said == said


def test_given_a_retry_when_concluded_then_flower_reads_attempt_and_error(
    app: Celery, publisher: Listening
) -> None:
    with pytest.raises(Retry) as caught:
        run(app, ExecutionResult(DeliveryOutcome.RETRY, error="the bank is away", attempt=3))
    assert str(caught.value.exc) == "attempt 3: the bank is away"


@pytest.mark.parametrize("error", [MemoryError(), SystemExit(1)])
def test_given_what_would_end_the_worker_when_it_escapes_the_engine_then_an_ordinary_error(
    app: Celery, publisher: Listening, error: BaseException
) -> None:
    with pytest.raises(StepBroke):
        run(app, error)


def test_given_store_that_is_away_when_run_then_the_message_goes_back(
    app: Celery, publisher: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "STORE_PAUSE_S", (0.0, 0.0))
    with pytest.raises(Reject) as caught:
        run(app, StoreUnavailable())
    assert caught.value.requeue


@pytest.mark.parametrize(
    ("answer", "lines"),
    [(StoreUnavailable(), []), (ValueError("surprise"), ["ERROR"])],
    ids=["a store that is busy", "a surprise"],
)
def test_given_a_message_put_back_when_celery_tells_of_it_then_only_a_surprise_has_a_traceback(
    app: Celery,
    publisher: Listening,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    answer: Exception,
    lines: list[str],
) -> None:
    monkeypatch.setattr(tasks, "STORE_PAUSE_S", (0.0, 0.0))
    monkeypatch.setattr(boot, "db", lambda: None)
    name = f"fork.scripted_{next(NUMBERS)}"
    task = app.register_task(type("scripted", (Scripted,), {"name": name, "answer": answer})())
    with caplog.at_level(logging.INFO), capture_logs() as ours:
        ended = task.apply(args=(JOB, ""), throw=False)
    assert [r.levelname for r in caplog.records if r.exc_info] == lines
    assert [line["event"] for line in ours] == ([] if lines else ["store.unreachable"])
    assert ended.state == ("FAILURE" if lines else "REJECTED")
    if not lines:
        back = pickle.loads(pickle.dumps(ended.result))  # as a child sends it to its worker
        assert (type(back), back.requeue) == (tasks.GivenBack, True)


# --- batches -----------------------------------------------------------------------------------------------------------
@pytest.fixture
def batches(publisher: Listening, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Its saga is known; what is said not to have left is kept."""
    unsent: list[list[str]] = []
    monkeypatch.setattr(continuation, "registry", lambda: Registry([batch]))
    monkeypatch.setattr(Scripted, "unsent", unsent)
    return unsent


def run_batch(answer: Any) -> Any:
    """The first member of `a b c`."""
    made = Celery("batches", set_as_current=False, fixups=[])
    made.config_from_object("surefoot.celeryconfig")
    register_all(made, Registry([batch]))
    task = made.register_task(
        type(
            "scripted", (Scripted,), {"name": f"batch.scripted_{next(NUMBERS)}", "answer": answer}
        )()
    )
    chain = [element(step) | {"task": f"batch.{step}"} for step in "cb"]
    task.push_request(
        id="id-a",
        task="batch.a",
        root_id=JOB,
        chain=chain,
        chord=None,
        delivery_info={"routing_key": "east"},
    )
    try:
        return task.run(JOB, "")
    finally:
        task.pop_request()


@pytest.mark.parametrize(
    "performed",
    [
        ExecutionResult(DeliveryOutcome.COMPLETED),
        ExecutionResult(DeliveryOutcome.REPEATED),
        ExecutionResult(DeliveryOutcome.RETRY, error="once", stop_chain=True),
        ExecutionResult(DeliveryOutcome.PARKED, stop_chain=True),
        ExecutionResult(DeliveryOutcome.FAILED, error="no", stop_chain=True),
        ExecutionResult(DeliveryOutcome.DROPPED, error="a worker is at it"),
    ],
    ids=lambda performed: performed.verdict,
)
def test_given_a_member_however_it_went_when_concluded_then_those_behind_it_leave(
    publisher: Listening, batches: list[list[str]], performed: ExecutionResult
) -> None:
    with suppress(Ignore, Retry, StepFailed):
        run_batch(performed)
    assert publisher.sent == [("batch.b", ["batch.c"])]
    assert batches == []


@pytest.mark.parametrize(
    "performed",
    [
        ExecutionResult(DeliveryOutcome.DROPPED, error="no such operation", forged=True),
        ExecutionResult(DeliveryOutcome.COMPLETED, stop_chain=True),
    ],
    ids=["forged", "turned"],
)
def test_given_a_forged_message_or_a_job_that_has_turned_when_concluded_then_nothing_leaves(
    publisher: Listening,
    batches: list[list[str]],
    performed: ExecutionResult,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(StepTask, "quarantine", lambda task, reason: None)
    with suppress(Ignore):
        run_batch(performed)
    assert publisher.sent == []


def test_given_a_broker_that_takes_nothing_when_concluded_then_all_that_was_behind_counts_as_unsent(
    publisher: Listening, batches: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "go_on", lambda *_, **__: False)
    run_batch(ExecutionResult(DeliveryOutcome.COMPLETED))
    assert batches == [["id-b", "id-c"]]


def test_given_a_member_that_takes_long_when_it_runs_then_those_behind_it_have_left_once(
    publisher: Listening, batches: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUREFOOT_BATCH_SECONDS", "0.05")
    settings.cache_clear()

    def slow(task: Scripted, delivery: Delivery) -> ExecutionResult:
        wait_until(lambda: publisher.sent, what="the rest to leave")
        return ExecutionResult(DeliveryOutcome.COMPLETED)

    monkeypatch.setattr(Scripted, "carry_out", slow)
    assert run_batch(None) == "completed"
    assert publisher.sent == [("batch.b", ["batch.c"])]
