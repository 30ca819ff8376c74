"""Guards taken out of the engine's Python, each while a context lasts: a contract test must miss every one.

They are about moments that the simulation's schedules seldom come to; what its search finds is in `tests.support.planted`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest import mock

from surefoot.app.engine.isolation import Isolated
from surefoot.app.engine.jobs import operations
from surefoot.app.engine.operators import decisions, resubmit
from surefoot.app.engine.relay.duties.broker_lost import BrokerLost
from surefoot.app.store import dead_letters, operation_reads, tables
from surefoot.app.testkit.broker import FakeBroker

GUARDS: dict[str, Callable[[], AbstractContextManager[object]]] = {}


def guard(make: Callable[[], Iterator[None]]) -> Callable[[], Iterator[None]]:
    """Put it into the list, under its name in words."""
    GUARDS[make.__name__.replace("_", " ")] = contextmanager(make)
    return make


@contextmanager
def read_as(**columns: Any) -> Iterator[None]:
    """Whoever reads an operation is told these columns instead."""
    real = operation_reads.operation

    def told(connection: Any, operation_id: str) -> Any:
        row = real(connection, operation_id)
        return SimpleNamespace(**(dict(row._mapping) | columns)) if row is not None else None

    with mock.patch.object(operation_reads, "operation", told):
        yield


@guard
def a_hand_back_queues_what_was_told_to_stop() -> Iterator[None]:
    real = operations.hand_back

    def forgetful(*args: Any) -> Any:
        with read_as(stop_requested=False):
            return real(*args)

    with mock.patch.object(operations, "hand_back", forgetful):
        yield


@guard
def a_zombie_parks_what_another_runs() -> Iterator[None]:
    real = operations.park

    def parks(db: Any, held: Any, seconds: float) -> Any:
        with ExitStack() as stack:
            end = operations.attempt_writes.end_running_operation
            stack.enter_context(read_as(token=held.token))
            stack.enter_context(
                mock.patch.object(
                    operations.attempt_writes, "end_running_operation", _whoever_holds_it(end)
                )
            )
            return real(db, held, seconds)

    with mock.patch.object(operations, "park", parks):
        yield


def _whoever_holds_it(end: Callable[..., Any]) -> Callable[..., Any]:
    def ended(tx: Any, operation_id: str, token: str, values: dict[str, Any], **more: Any) -> Any:
        row = tx.execute(operation_reads._OPERATION, {"p_id": operation_id}).one()
        return end(tx, operation_id, row.token, values, **more)

    return ended


@guard
def a_decision_is_taken_about_what_runs() -> Iterator[None]:
    real = decisions.operation_writes.decide_failed_operation

    def whatever_its_state(tx: Any, operation_id: str, values: dict[str, Any]) -> Any:
        o = tables.operations
        return (
            real(tx, operation_id, values)
            or tx.execute(
                o.update().where(o.c.id == operation_id).values(**values).returning(*o.c)
            ).one()
        )

    with (
        mock.patch.object(decisions, "_only_given_up"),
        mock.patch.object(
            decisions.operation_writes, "decide_failed_operation", whatever_its_state
        ),
    ):
        yield


@guard
def a_decision_is_taken_about_a_letter_that_holds_no_job() -> Iterator[None]:
    with letters_read_as(blocking=True):
        yield


@guard
def a_decision_is_taken_about_a_job_that_has_ended() -> Iterator[None]:
    with mock.patch.object(decisions, "ENDED", ()):
        yield


@contextmanager
def letters_read_as(**columns: Any) -> Iterator[None]:
    real = dead_letters.letter

    def told(connection: Any, letter_id: str, *more: Any) -> Any:
        row = real(connection, letter_id, *more)
        return SimpleNamespace(**(dict(row._mapping) | columns)) if row is not None else None

    with mock.patch.object(dead_letters, "letter", told):
        yield


@guard
def two_send_one_letter_back_and_both_are_obeyed() -> Iterator[None]:
    with mock.patch.object(resubmit, "_is_open", return_value=True):
        yield


@guard
def a_broker_that_comes_back_with_its_marker_is_believed() -> Iterator[None]:
    real = BrokerLost.go_on

    def believed(self: BrokerLost, kept: bool) -> int:
        self.was_away = False
        return real(self, kept)

    with mock.patch.object(BrokerLost, "go_on", believed):
        yield


@guard
def a_lane_whose_queue_is_full_is_rung_again() -> Iterator[None]:
    with mock.patch.object(FakeBroker, "depth", return_value={}):
        yield


@guard
def one_row_that_cannot_be_handled_stops_its_duty() -> Iterator[None]:
    def all_or_none(
        self: Isolated, duty: str, rows: Iterable[Any], act: Callable[[Any], int]
    ) -> int:
        return sum(map(act, rows))

    with mock.patch.object(Isolated, "each", all_or_none):
        yield


@guard
def one_duty_that_fails_stops_the_round() -> Iterator[None]:
    with mock.patch.object(Isolated, "whole", lambda self, duty, act, store_answers: act()):
        yield


@guard
def what_is_lost_is_asked_for_all_lanes_at_once() -> Iterator[None]:
    real = FakeBroker.depth

    def of_all(self: FakeBroker, queues: Any) -> dict[str, int]:
        return dict.fromkeys(queues, max(real(self, queues).values()))

    with mock.patch.object(FakeBroker, "depth", of_all):
        yield
