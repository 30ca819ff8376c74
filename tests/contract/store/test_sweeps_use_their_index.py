"""No sweep scans a table: each is served by the partial index made for it, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Connection, Engine

from surefoot.app.store import (
    attempt_writes,
    job_reads,
    message_reads,
    message_writes,
    operation_reads,
    operation_writes,
    reconciliations,
    retention,
)
from tests.support.plans import first_plan, served
from tests.support.stores import open_new_store

NIL = "00000000-0000-0000-0000-000000000000"
RUNNING = "ix_operations_worker|ix_operations_leased"  # two small indexes hold the running rows; on empty tables they cost the same
TURN = message_reads.Turn("orders", "action", NIL)
QUEUE = message_reads.Queue("orders", "action", datetime.now(UTC))
SWEEPS: dict[str, tuple[Callable[[Connection], Any], str]] = {
    "unsent": (lambda c: message_reads.unsent(c, 1.0, 10), "ix_operations_unsent"),
    "whose backlog is next": (
        lambda c: message_reads.backlogs(c, message_reads.Turn("orders", "action", NIL), 1.0, 10),
        "ix_operations_turn",
    ),
    "a tenant's backlog": (
        lambda c: message_reads.unsent_of(c, TURN, 1.0, 10),
        "ix_operations_turn",
    ),
    "a tenant in a lane": (
        lambda c: message_reads.waiting_of(c, TURN, 10),
        "ix_operations_turn",
    ),
    "a tenant's older ones": (
        lambda c: message_reads.is_behind(c, TURN, QUEUE.at, 1.0),
        "ix_operations_turn",
    ),
    "queues of what was sent": (
        lambda c: message_reads.sent_queues(c, 15.0),
        "ix_operations_sent_of",
    ),
    "lost": (
        lambda c: message_reads.sent_long_ago(c, QUEUE, 15.0, 10),
        "ix_operations_sent_of",
    ),
    "passed over": (
        lambda c: message_reads.sent_long_before(c, QUEUE, QUEUE.at, 15.0, 10),
        "ix_operations_sent_of",
    ),
    "running on a lane": (lambda c: message_reads.running_of(c, QUEUE), RUNNING),
    "expired": (lambda c: operation_reads.expired(c, 10), "ix_operations_leased"),
    "due": (lambda c: operation_writes.wake_due(c, 10), "ix_operations_due"),
    "nobody came": (
        lambda c: operation_reads.nobody_came(c, 10),
        "ix_operations_claim_deadline",
    ),
    "stranded": (lambda c: operation_reads.stranded(c, 10), "ix_operations_stranded"),
    "deadline": (lambda c: job_reads.past_deadline(c, 10), "ix_jobs_deadline"),
    "undo_deadline_at": (
        lambda c: job_reads.past_undo_deadline(c, 10),
        "ix_jobs_undo_deadline",
    ),
    "late": (lambda c: reconciliations.past_sla(c, 10), "ix_jobs_sla"),
    "landed": (lambda c: reconciliations.landed(c, "", 10), "ix_reconciliations_open"),
    "asked about": (
        lambda c: reconciliations.asked_about(c, 10),
        "ix_reconciliations_asked",
    ),
    "open of a job": (
        lambda c: reconciliations.open_of_jobs(c, [NIL]),
        "ix_reconciliations_open|uq_reconciliations_open",
    ),
    "open of a tenant": (
        lambda c: reconciliations.page(c, NIL, only_open=True, after_id=None, limit=10),
        "ix_reconciliations_open|ix_reconciliations_tenant",
    ),
    "adopted": (
        lambda c: reconciliations.adopted_among(c, ["key"]),
        "ix_reconciliations_adopted",
    ),
    "effects of a lost job": (
        lambda c: reconciliations.of_lost_job(c, NIL),
        "uq_reconciliations_open|ix_reconciliations_asked",
    ),
    "every open one": (
        lambda c: list(reconciliations.every_open(c)),
        "ix_reconciliations_asked",
    ),
    "open by finding": (
        reconciliations.open_counts,
        "ix_reconciliations_open_kind|uq_reconciliations_open",
    ),
    "idle": (
        lambda c: job_reads.idle(c, "00000000-0000-0000-0000-000000000000", 10),
        "ix_jobs_open",
    ),
    "held by a worker": (lambda c: operation_reads.held_by(c, "worker_id"), RUNNING),
    "renewal": (
        lambda c: attempt_writes.renew_leases(
            c, "worker_id", ["00000000-0000-7000-8000-000000000000"], 15.0
        ),
        f"{RUNNING}|pk|autoindex",
    ),
    "old sessions": (lambda c: retention.delete_sessions(c, 1.0, 10), "ix_sessions_made"),
    "old acts": (lambda c: retention.delete_acts(c, 1.0, 10), "ix_acts_at"),
    "broker lost": (
        lambda c: message_writes.forget_sent(c, QUEUE.at, 10),
        "ix_operations_sent_of|ix_operations_claim_deadline",
    ),
}


@pytest.fixture
def db(ready_url: str) -> Any:
    db = open_new_store(ready_url)
    yield db
    db.dispose()


@pytest.mark.parametrize("sweep", SWEEPS)
def test_given_a_sweep_then_its_plan_uses_the_index_made_for_it(db: Engine, sweep: str) -> None:
    run, index = SWEEPS[sweep]
    sql, plan = first_plan(db, run)
    assert served(plan, index), f"{sql}\n{plan}"
