"""Mistakes that an engine like this one could have, each planted while a context lasts. The simulation must find them all."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

from sqlalchemy import case, select, update

import surefoot.app.participant.barrier  # noqa: F401
from surefoot.app.clock import now
from surefoot.app.engine.jobs import (
    claiming,
    compensation,
    fairness,
    late_results,
    release,
)
from surefoot.app.engine.jobs import (
    operations as attempts,
)
from surefoot.app.engine.jobs.attempt import LEASE_LOST, Failure
from surefoot.app.engine.jobs.transaction import JobTransaction
from surefoot.app.engine.operators import resubmit
from surefoot.app.engine.reconcile import findings
from surefoot.app.engine.reconcile.effects import Asking
from surefoot.app.engine.relay.duties.broker_lost import BrokerLost
from surefoot.app.engine.relay.duties.lost_messages import Lost
from surefoot.app.engine.worker import execute, failures, recovery
from surefoot.app.rules import planner
from surefoot.app.rules.reasons import FailureReason
from surefoot.app.rules.states import Dir, Kind, OpState
from surefoot.app.saga.context import Context
from surefoot.app.saga.naming import effect_key
from surefoot.app.simulation.clients import OTHER, TENANT
from surefoot.app.store import (
    attempt_writes,
    dead_letters,
    job_reads,
    job_writes,
    operation_reads,
    operation_writes,
    reconciliations,
)
from surefoot.app.store.session import transaction
from surefoot.app.store.tables import jobs, operations
from surefoot.app.testkit.broker import FakeBroker

barrier: Any = sys.modules[
    "surefoot.app.participant.barrier"
]  # the package gives its function the module's name
o = operations.c
Planted = Callable[[], AbstractContextManager[None]]
PLANTED: dict[str, Planted] = {}


def planted(make: Callable[[], Iterator[None]]) -> Planted:
    """Put it into the list, under its name in words."""
    done = contextmanager(make)
    PLANTED[make.__name__.replace("_", " ")] = done
    return done


@contextmanager
def instead(where: Any, name: str, what: Any) -> Iterator[None]:
    with mock.patch.object(where, name, what):
        yield


@planted
def messages_leave_before_the_commit() -> Iterator[None]:
    brokers: list[FakeBroker] = []
    made = FakeBroker.__init__

    def note(self: FakeBroker, *args: Any, **kwargs: Any) -> None:
        made(self, *args, **kwargs)
        brokers.append(self)

    def early(db: Any, work: Any, **named: Any) -> Any:
        def and_publish(tx: Any) -> Any:
            ended = work(tx)
            if getattr(ended, "plan", ()):
                brokers[-1].publish(ended.plan)
            return ended

        return transaction(db, and_publish, **named)

    with instead(FakeBroker, "__init__", note), instead(attempts, "transaction", early):
        with instead(late_results, "transaction", early):
            yield


@planted
def the_effects_key_has_the_attempts_number_in_it() -> Iterator[None]:
    def key(self: Context) -> str:
        return effect_key(self.job_id, self.step, str(self.attempt), self.kind)

    with instead(Context, "key", property(key)):
        yield


@planted
def a_completion_does_not_ask_for_its_fence() -> Iterator[None]:
    real = attempt_writes.finish_running_operation

    def any_token(tx: Any, operation_id: str, token: str, result: Any) -> Any:
        row = operation_reads.operation(tx, operation_id)
        return real(
            tx,
            operation_id,
            row.token if row is not None and row.state == OpState.RUNNING else token,
            result,
        )

    with instead(attempt_writes, "finish_running_operation", any_token):
        yield


@planted
def the_row_count_of_a_completion_is_ignored() -> Iterator[None]:
    real = attempt_writes.finish_running_operation

    def ignored(tx: Any, operation_id: str, token: str, result: Any) -> Any:
        return (
            real(tx, operation_id, token, result)
            or tx.execute(select(operations).where(o.id == operation_id)).one()
        )

    with instead(attempt_writes, "finish_running_operation", ignored):
        yield


@planted
def undos_look_at_direct_successors_only() -> Iterator[None]:
    def direct(self: Any, step: str, edges: Any) -> tuple[str, ...]:
        return tuple(name for name in edges[step] if name in self._chosen)

    with instead(planner.UndoOrder, "_nearest", direct):
        yield


@planted
def a_claim_is_not_durable() -> Iterator[None]:
    class Back(Exception):
        pass

    def lost(db: Any, work: Any, **named: Any) -> Any:
        claimed: list[Any] = []

        def undone(tx: Any) -> None:
            claimed.append(work(tx))
            raise Back

        try:
            transaction(db, undone, **named)
        except Back:
            pass
        return claimed[0]

    with instead(claiming, "execute_single", lost):
        yield


@planted
def a_timer_never_wakes() -> Iterator[None]:
    with instead(operation_writes, "wake_due", lambda tx, limit: []):
        yield


@planted
def a_relay_that_slept_does_not_look_again_before_it_expires_a_claim() -> Iterator[None]:
    def at_once(db: Any, settings: Any, operation_id: str, job_id: str, token: str) -> Any:
        def work(tx: Any) -> Any:
            move = JobTransaction(tx, job_id)
            row = operation_reads.operation(tx, operation_id)
            if row is None or row.state != OpState.RUNNING:
                return LEASE_LOST
            return attempts._fail_running(
                move,
                settings,
                row,
                Failure(FailureReason.LOST, {"type": "LeaseExpired", "message": "planted"}),
            )

        return transaction(db, work, name="operations.expire")

    with instead(attempts, "expire", at_once):
        yield


@planted
def an_undo_with_nothing_to_undo_acts_as_if_it_had() -> Iterator[None]:
    def acts(connection: Any, ctx: Any) -> Any:
        barrier._insert(connection, ctx.action_key, barrier.NEVER, ctx.fence)
        return barrier.Pass(
            connection, ctx.key, first=barrier._insert(connection, ctx.key, barrier.DONE, ctx.fence)
        )

    with instead(barrier, "_undo", acts):
        yield


@planted
def an_empty_undo_leaves_no_tombstone() -> Iterator[None]:
    real = barrier._undo

    def forgetful(connection: Any, ctx: Any) -> Any:
        there = connection.execute(
            select(barrier.rows.c.key).where(barrier.rows.c.key == ctx.action_key)
        ).first()
        return (
            real(connection, ctx)
            if there
            else barrier.Pass(connection, ctx.key, first=False, empty=True)
        )

    with instead(barrier, "_undo", forgetful):
        yield


@planted
def a_completion_releases_twice() -> Iterator[None]:
    real = release.release

    def twice(move: Any, step: str) -> None:
        real(move, step)
        real(move, step)

    with instead(release, "release", twice):
        yield


@planted
def the_turn_forgets_what_is_queued() -> Iterator[None]:
    def forgetful(tx: Any, job_id: str) -> None:
        tx.execute(
            update(operations)
            .where(
                o.job_id == job_id,
                o.kind == Kind.ACTION,
                o.state.in_((OpState.PENDING, OpState.WAITING)),
            )
            .values(
                state=case((o.started, OpState.ABANDONED), else_=OpState.DROPPED),
                due_at=None,
                wait_reason=None,
                finished_at=now(),
            )
        )

    with instead(operation_writes, "drop_waiting_actions", forgetful):
        yield


@planted
def started_follows_from_the_attempts_and_a_shutdown_gives_one_back() -> Iterator[None]:
    real = attempt_writes.end_running_operation

    def given_back(
        tx: Any, operation_id: str, token: str, values: dict[str, Any], **more: Any
    ) -> Any:
        if values.get("state") == OpState.QUEUED and "max_attempts" in values:
            values = {name: value for name, value in values.items() if name != "max_attempts"}
            values |= {
                "attempts": o.attempts - 1,
                "started": o.attempts > 1,
                "unknown_outcomes": case((o.unknown_outcomes > 0, o.unknown_outcomes - 1), else_=0),
            }
        return real(tx, operation_id, token, values, **more)

    with instead(attempt_writes, "end_running_operation", given_back):
        yield


@planted
def a_refusal_settles_earlier_attempts_too() -> Iterator[None]:
    real = attempt_writes.end_running_operation

    def all_settled(
        tx: Any, operation_id: str, token: str, values: dict[str, Any], **more: Any
    ) -> Any:
        row = operation_reads.operation(tx, operation_id)
        if (
            row is not None
            and values.get("unknown_outcomes", row.unknown_outcomes) < row.unknown_outcomes
        ):
            values = values | {"unknown_outcomes": 0}
        return real(tx, operation_id, token, values, **more)

    with instead(attempt_writes, "end_running_operation", all_settled):
        yield


@planted
def a_cancel_overtakes_the_claim_of_the_pivot() -> Iterator[None]:
    def only_done(move: Any) -> Any:
        return next(
            (
                row
                for row in operation_reads.lock_no_return(move.tx, move.job.id)
                if row.state == OpState.COMPLETED
            ),
            None,
        )

    with instead(compensation, "past_point_of_no_return", only_done):
        yield


@planted
def a_turn_does_not_look_at_what_is_about_to_be_confirmed() -> Iterator[None]:
    def only_begun(move: Any) -> Any:
        rows = operation_reads.lock_no_return(move.tx, move.job.id)
        return next(
            (
                row
                for row in rows
                if row.state in (OpState.RUNNING, OpState.COMPLETED) or row.unknown_outcomes > 0
            ),
            None,
        )

    with instead(compensation, "past_point_of_no_return", only_begun):
        yield


@planted
def an_action_that_stopped_after_the_turn_does_not_free_its_undo() -> Iterator[None]:
    with instead(attempts, "resolve_abandoned_action", lambda move, operation: None):
        yield


@planted
def a_job_ends_while_something_of_it_still_runs() -> Iterator[None]:
    with instead(job_reads, "may_move", lambda tx, job_id: False):
        yield


@planted
def a_lost_message_is_never_rung_again() -> Iterator[None]:
    with instead(Lost, "run_once", lambda self: 0), instead(BrokerLost, "run_once", lambda self: 0):
        yield


@planted
def an_idempotency_key_is_looked_up_but_not_taken() -> Iterator[None]:
    with instead(job_reads, "idempotent", lambda connection, tenant_id, key: None):
        with instead(job_writes, "take_idempotency_key", lambda *args: True):
            yield


@planted
def a_completion_after_the_turn_goes_forward() -> Iterator[None]:
    real = JobTransaction.__init__

    def forward(self: JobTransaction, tx: Any, job_id: str, *args: Any, **more: Any) -> None:
        real(self, tx, job_id, *args, **more)
        if more.get("noting"):
            self.direction = Dir.FORWARD

    with instead(JobTransaction, "__init__", forward):
        yield


@planted
def two_people_decide_about_one_letter_and_both_are_obeyed() -> Iterator[None]:
    real = operation_writes.decide_failed_operation

    def obeyed(tx: Any, operation_id: str, values: dict[str, Any]) -> Any:
        return (
            real(tx, operation_id, values)
            or tx.execute(
                update(operations)
                .where(o.id == operation_id)
                .values(**values)
                .returning(*operations.c)
            ).one()
        )

    with (
        instead(dead_letters, "close", lambda *args, **more: True),
        instead(operation_writes, "decide_failed_operation", obeyed),
    ):
        yield


@planted
def a_step_that_failed_for_good_counts_as_nothing() -> Iterator[None]:
    real = failures._for_good

    def nothing(*given: Any) -> Any:
        return replace(real(*given), nothing_happened=True)

    with instead(failures, "_for_good", nothing):
        yield


@planted
def a_step_that_failed_for_good_is_tried_again() -> Iterator[None]:
    real = failures._for_good

    def again(*given: Any) -> Any:
        return replace(real(*given), how="transient")

    with instead(failures, "_for_good", again):
        yield


@planted
def a_decision_ends_a_job_that_has_ended() -> Iterator[None]:
    with instead(release, "ENDED", ()):
        yield


@planted
def a_step_that_was_waived_is_confirmed() -> Iterator[None]:
    real = operation_reads.states_of

    def all_done(tx: Any, job_id: str, kind: Kind) -> dict[str, str]:
        states = real(tx, job_id, kind)
        return states if kind == Kind.CONFIRM else dict.fromkeys(states, OpState.COMPLETED)

    with instead(operation_reads, "states_of", all_done):
        yield


@planted
def an_undo_that_fails_takes_the_place_of_why_the_job_failed() -> Iterator[None]:
    asks = attempts.require_attention

    def overwriting(move: JobTransaction, row: Any, *, why: str, error: dict[str, Any]) -> None:
        move.change(reason=str(error.get("message", "")))
        asks(move, row, why=why, error=error)

    with instead(attempts, "require_attention", overwriting):
        yield


@planted
def what_may_have_happened_and_cannot_be_asked_is_done_once_more() -> Iterator[None]:
    with instead(recovery, "_probe_before_retry", lambda asked: asked.make()):
        yield


@planted
def a_probe_in_doubt_before_an_undo_counts_as_never() -> Iterator[None]:
    real = recovery._resolve_unknown

    def taken_for_never(asked: Any) -> Any:
        learnt = real(asked)
        return None if isinstance(learnt, Failure) else learnt

    with instead(recovery, "_resolve_unknown", taken_for_never):
        yield


@planted
def a_probe_in_doubt_is_taken_for_a_no_and_the_step_is_done_again() -> Iterator[None]:
    real = recovery._probe_before_retry

    def done_again(asked: Any) -> Any:
        answer = real(asked)
        in_doubt = isinstance(answer, Failure) and answer.how == "transient"
        return asked.make() if in_doubt else answer

    with instead(recovery, "_probe_before_retry", done_again):
        yield


@planted
def a_replay_that_is_refused_fails_the_undo() -> Iterator[None]:
    def replayed(asked: Any) -> Any:
        context = replace(asked.context, kind=Kind.ACTION)
        given = (asked.work.input, asked.results, None)
        return recovery.invoke(asked.saga, asked.node.name, Kind.ACTION, context, *given)

    with instead(recovery, "_replayed", replayed):
        yield


@planted
def a_claim_takes_a_job_of_another_version() -> Iterator[None]:
    real = attempt_writes.claim_to_work

    def of_any(tx: Any, taking: Any, *, of: Any, digest: str, before: Any) -> Any:
        pinned = tx.execute(select(jobs.c.digest).where(jobs.c.id == of[0])).scalar_one_or_none()
        return real(tx, taking, of=of, digest=pinned or digest, before=before)

    with instead(attempt_writes, "claim_to_work", of_any):
        yield


@planted
def a_job_runs_without_its_locks() -> Iterator[None]:
    with instead(execute, "take_locks", lambda *args: None):
        yield


@planted
def a_job_is_run_again_however_often_it_is_asked_for() -> Iterator[None]:
    with instead(resubmit, "_may_resubmit", lambda *args: None):
        yield


@planted
def what_was_adopted_is_found_again() -> Iterator[None]:
    with instead(reconciliations, "adopted_among", lambda connection, keys: set()):
        yield


@planted
def an_undo_that_was_decided_is_not_carried_out() -> Iterator[None]:
    with instead(findings, "carry_out_decided", lambda *args: None):
        yield


@planted
def effects_of_lost_jobs_are_not_looked_for() -> Iterator[None]:
    with instead(Asking, "strays", lambda self, first, last: []):
        yield


@planted
def an_idempotency_key_is_one_for_all_tenants() -> Iterator[None]:
    real = job_reads.idempotent

    def of_all(connection: Any, tenant_id: str, key: str) -> Any:
        found = [real(connection, tenant, key) for tenant in (TENANT, OTHER)]
        return next((row for row in found if row is not None), None)

    with instead(job_reads, "idempotent", of_all):
        yield


@planted
def what_another_tenant_asks_for_is_done() -> Iterator[None]:
    def nobodys(*given: Any) -> list[Any]:
        return []

    with instead(job_reads, "own", nobodys), instead(dead_letters, "own", nobodys):
        yield


@planted
def a_tenants_window_is_one_message_too_small() -> Iterator[None]:
    real = fairness.room
    with instead(fairness, "room", lambda *given: real(*given) - 1):
        yield
