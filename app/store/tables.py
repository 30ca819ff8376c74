"""The tables. Beside each constraint, the accident it prevents.

Indexes on changing columns are partial: a finished row leaves them, so a sweep over ten million finished jobs costs
what it costs over none. Their conditions are spelled with literals, and so are the sweeps that use them: neither
database can prove that a bound parameter implies a partial index's condition.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    false,
    text,
)

from surefoot.app.clock import UtcDateTime, now
from surefoot.app.store.ids import tail_of
from surefoot.app.store.types import Json

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
Id = Uuid(as_uuid=False)
NOBODY = "0" * 32


def _partial(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    return Index(
        name, *columns, unique=unique, postgresql_where=text(where), sqlite_where=text(where)
    )


tenants = Table(
    "tenants",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("created_at", UtcDateTime, nullable=False, server_default=now()),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant_id", Id, ForeignKey("tenants.id"), nullable=False),
    Column("name", String(64), nullable=False),
    Column("role", String(16), nullable=False),
    # also for what is not one tenant's. A column, since a role that older code does not know ends
    # its requests
    Column("platform", Boolean, nullable=False, default=False, server_default=false()),
    Column(
        "prefix", String(12), nullable=False
    ),  # shown in lists, so that people can tell keys apart
    Column(
        "hash", String(64), nullable=False, unique=True
    ),  # SHA-256 of the key: a stolen table opens nothing
    Column("created_at", UtcDateTime, nullable=False, server_default=now()),
    Column("revoked_at", UtcDateTime),
    CheckConstraint("role IN ('user', 'operator', 'admin')", name="role"),
)

sessions = Table(  # of browsers that signed in with a key: a cookie names a row, and is worth nothing when that has ended
    "sessions",
    metadata,
    Column("id", Id, primary_key=True),
    Column("hash", String(64), nullable=False, unique=True),  # SHA-256 of what the cookie holds
    Column("key_id", Id, ForeignKey("api_keys.id"), nullable=False),
    Column("made_at", UtcDateTime, nullable=False, server_default=now()),
    Column(
        "seen_at", UtcDateTime, nullable=False, server_default=now()
    ),  # written at most once a minute
    Column("ended_at", UtcDateTime),
    Column("ended_by", String(128)),
    Column(
        "address", String(64), nullable=False
    ),  # the network of the browser, not its whole address
    Column("agent", String(120), nullable=False),
    Index("ix_sessions_made", "made_at"),  # for the relay, which deletes the oldest
    _partial("ix_sessions_open", "made_at", "id", where="ended_at IS NULL"),
    _partial("ix_sessions_open_key", "key_id", "made_at", "id", where="ended_at IS NULL"),
)

definitions = Table(  # the catalogue: what some process has had the code of
    "definitions",
    metadata,
    Column("digest", String(16), primary_key=True),
    Column("saga", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("graph", Json, nullable=False),
    Column(
        "words", Json
    ),  # what people read of it, as the newest registration says it; no part of the digest
    Column("input_schema", Json, nullable=False),
    Column("registered_at", UtcDateTime, nullable=False),  # when some process first had it
    Column(
        "served_at", UtcDateTime
    ),  # when a live worker last had it (`definitions.order_of_definitions`)
    Column("retired_at", UtcDateTime),  # no new job is pinned to it
    Column(
        "retired_by", String(128)
    ),  # of the last word: where `retired_at` is null, of who took it back into use
    Column("retired_why", Text),
    Index("ix_definitions_saga", "saga", "version"),
)

edges = Table(  # the pinned graph and its transitive closure
    "edges",
    metadata,
    Column("digest", String(16), ForeignKey("definitions.digest"), nullable=False),
    Column("before", String(64), nullable=False),
    Column("after", String(64), nullable=False),
    Column("direct", Boolean, nullable=False),
    PrimaryKeyConstraint("digest", "before", "after"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant_id", Id, ForeignKey("tenants.id"), nullable=False),
    Column("saga", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("digest", String(16), ForeignKey("definitions.digest"), nullable=False),
    Column("state", String(16), nullable=False),
    Column("dir", String(8), nullable=False),
    Column("cause", String(16)),
    Column("cancel_wish", Boolean, nullable=False, default=False),
    Column("reason", Text),  # one sentence: why it turned. Written by the turn, once
    Column("error", Json),  # {"step", "kind", "type", "message"} of what made it turn. The same
    Column(
        "trouble", Json
    ),  # the same of the last operation for which a person was asked, which is not why it turned
    Column(
        "summary", Text
    ),  # one line from its input, without secrets, as its saga's author words it
    Column("input", Json, nullable=False),
    Column("tags", Json, nullable=False),
    Column("priority", Integer, nullable=False, default=0),
    Column("retry_of", Id),
    Column("created_by", String(128), nullable=False),
    Column("traceparent", String(55)),  # of the request; none in jobs older than the column
    Column("created_at", UtcDateTime, nullable=False),
    Column("deadline_at", UtcDateTime),
    Column(
        "late", Boolean, nullable=False, default=False
    ),  # its deadline passed when it could not turn any more
    Column("sla_at", UtcDateTime),
    Column("undo_by", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Column("attention_since", UtcDateTime),  # a person is asked since then
    Column("owner", String(128)),  # who has taken it on
    Column("owned_at", UtcDateTime),
    Column(
        "seq", Integer, nullable=False, default=0
    ),  # numbers history without gaps, raised under the job's lock
    Column("rev", Integer, nullable=False, default=0),
    CheckConstraint(
        "state IN ('running','compensating','attention','completed','failed','cancelled')",
        name="state",
    ),
    CheckConstraint("dir IN ('forward','back')", name="dir"),
    # a job that ended well never turned, one that ended undone did: no path may write the other
    CheckConstraint("state <> 'completed' OR dir = 'forward'", name="completed_forward"),
    CheckConstraint(
        "state NOT IN ('failed','cancelled','compensating') OR dir = 'back'", name="undone_back"
    ),
    Index("ix_jobs_tenant", "tenant_id", "created_at", "id"),
    Index("ix_jobs_saga", "tenant_id", "saga", "created_at", "id"),  # a list of one saga's jobs
    # a list of one state's jobs; nearly all that ended did so well, and are found by ix_jobs_tenant without it
    _partial(
        "ix_jobs_state", "tenant_id", "state", "created_at", "id", where="state <> 'completed'"
    ),
    _partial("ix_jobs_open", "id", where="state IN ('running','compensating')"),
    _partial(
        "ix_jobs_deadline", "deadline_at", where="deadline_at IS NOT NULL AND state = 'running'"
    ),
    _partial(
        "ix_jobs_sla",
        "sla_at",
        where="sla_at IS NOT NULL AND state IN ('running','compensating','attention')",
    ),
    _partial("ix_jobs_undo_by", "undo_by", where="undo_by IS NOT NULL AND state = 'compensating'"),
    _partial(
        "ix_jobs_retry_of", "retry_of", "id", where="retry_of IS NOT NULL"
    ),  # whether a job was run again
    _partial("ix_jobs_attention", "tenant_id", "id", where="state = 'attention'"),
)
Index("ix_jobs_name", tail_of(jobs.c.id))  # a person says order-7K3F

job_tags = Table(  # the words a job is found by, once more for lists: `jobs.tags` has them in order
    "job_tags",
    metadata,
    Column("tenant_id", Id, ForeignKey("tenants.id"), nullable=False),
    Column("tag", String(64), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),  # the job's: a page is read in its order
    Column("job_id", Id, ForeignKey("jobs.id"), nullable=False),
    PrimaryKeyConstraint("tenant_id", "tag", "created_at", "job_id"),
    Index("ix_job_tags_job", "job_id"),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("tenant_id", Id, ForeignKey("tenants.id"), nullable=False),
    Column("key", String(255), nullable=False),
    Column(
        "fingerprint", String(64), nullable=False
    ),  # SHA-256 over saga name and input, not the version
    Column("job_id", Id, ForeignKey("jobs.id"), nullable=False),
    Column("created_at", UtcDateTime, nullable=False, server_default=now()),
    PrimaryKeyConstraint(
        "tenant_id", "key"
    ),  # two requests with one key: the second insert fails, one job exists
)

operations = Table(
    "operations",
    metadata,
    Column("id", Id, primary_key=True),
    Column("job_id", Id, ForeignKey("jobs.id"), nullable=False),
    Column("step", String(64), nullable=False),
    Column("kind", String(8), nullable=False),
    Column("item", String(64), nullable=False, default=""),
    Column("rank", Integer, nullable=False),
    Column("lane", String(64), nullable=False),
    # the job's, so that whose turn it is reads no job; NOBODY of rows that an older release wrote
    Column("tenant_id", Id, nullable=False, server_default=text(f"'{NOBODY}'")),
    Column("state", String(16), nullable=False),
    Column("missing", Integer, nullable=False),
    Column("ready_at", UtcDateTime),
    Column(
        "queue_s", Float, nullable=False
    ),  # how long it may lie ready before somebody comes, seconds
    Column("queue_by", UtcDateTime),  # nobody came by then: a failure of its own kind
    Column("sent_at", UtcDateTime),
    Column("resent", Integer, nullable=False, default=0),
    Column("fence", Integer, nullable=False, default=0),
    Column("token", String(40)),
    Column("boot", String(64)),  # the worker process that has it, or had it last
    Column(
        "delivery", Id
    ),  # the message under which it runs: its own, or the one that ran on to it
    Column("pid", Integer),
    Column("attempts", Integer, nullable=False, default=0),
    Column("allowance", Integer, nullable=False),
    Column(
        "failing_since", UtcDateTime
    ),  # of the first failed attempt since its service last answered
    Column("failures", Integer, nullable=False, default=0, server_default=text("0")),  # since then
    Column("started", Boolean, nullable=False, default=False),
    Column("effectful", Boolean, nullable=False),
    Column(
        "no_return", Boolean, nullable=False
    ),  # its claim decides that the job only goes forward
    Column("unsettled", Integer, nullable=False, default=0),
    Column("stop", Boolean, nullable=False, default=False),
    Column("lease_until", UtcDateTime),
    Column("hard_at", UtcDateTime),
    Column(
        "stall_s", Float
    ),  # how long an attempt may go without a sign of its own, seconds; null: as long as it may run
    Column("stall_at", UtcDateTime),  # no sign by then: the attempt counts as lost
    Column("due_at", UtcDateTime),
    Column("wait", String(16)),
    Column("result", Json),
    Column("error", Json),
    Column("progress", Json),
    Column("checkpoint", Json),
    Column(
        "fidelity", String(16)
    ),  # of an action: how well it can be undone; null when it needs no undo
    Column(
        "decided", String(16)
    ),  # a person's word instead of the worker's: marked_done, marked_absent, waived
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    UniqueConstraint("job_id", "step", "kind", "item"),  # one effect key, one row
    CheckConstraint("missing >= 0", name="missing"),  # released twice
    CheckConstraint(
        "attempts <= allowance", name="attempts"
    ),  # a poison step that is claimed for ever
    CheckConstraint(
        "unsettled >= 0 AND unsettled <= attempts", name="unsettled"
    ),  # an effect forgotten
    CheckConstraint(
        "state <> 'running' OR (token IS NOT NULL AND lease_until IS NOT NULL)", name="running"
    ),
    CheckConstraint("state <> 'waiting' OR due_at IS NOT NULL", name="waiting"),  # parked for ever
    CheckConstraint(
        "state IN ('pending','queued','running','waiting','completed','skipped','failed','dropped','abandoned')",
        name="state",
    ),
    CheckConstraint("kind IN ('action','undo','confirm')", name="kind"),
    _partial(
        "ix_operations_unsent",
        "ready_at",
        where="state = 'queued' AND missing = 0 AND sent_at IS NULL",
    ),
    _partial(
        "ix_operations_sent_of",
        "lane",
        "kind",
        "sent_at",
        where="state = 'queued' AND missing = 0 AND sent_at IS NOT NULL",
    ),
    _partial(
        "ix_operations_turn",
        *("lane", "kind", "tenant_id", "sent_at", "ready_at"),
        where="state = 'queued' AND missing = 0",
    ),
    _partial("ix_operations_queue_by", "queue_by", where="state = 'queued' AND missing = 0"),
    _partial("ix_operations_leased", "lease_until", where="state = 'running'"),
    _partial("ix_operations_boot", "boot", where="state = 'running'"),
    _partial("ix_operations_due", "due_at", where="state = 'waiting'"),
    _partial("ix_operations_stranded", "id", where="state = 'pending' AND missing = 0"),
)

history = Table(  # one row for each thing that happened: the timeline, the event stream and the audit at once
    "history",
    metadata,
    Column("job_id", Id, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("at", UtcDateTime, nullable=False, server_default=now()),
    Column("event", String(32), nullable=False),
    Column("step", String(64)),
    Column("kind", String(8)),
    Column("item", String(64)),
    Column("attempt", Integer),
    Column("fence", Integer),
    Column("actor", String(128)),
    Column("key_id", Id),  # of the actor's API key: names are free, and not unique
    Column("detail", Json),
    PrimaryKeyConstraint("job_id", "seq"),
    ForeignKeyConstraint(["job_id"], ["jobs.id"]),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", Id, primary_key=True),
    Column("job_id", Id, ForeignKey("jobs.id"), nullable=False),
    Column("operation_id", Id, ForeignKey("operations.id"), nullable=False),
    Column("saga", String(64), nullable=False),
    Column("step", String(64), nullable=False),
    Column("item", String(64), nullable=False, default=""),
    Column("kind", String(8), nullable=False),
    Column("why", String(32), nullable=False),  # app.rules.reasons
    Column("error", Json),
    Column("attempts", Integer, nullable=False),
    Column("blocking", Boolean, nullable=False),  # holds the job in attention
    Column("needs_person", Boolean, nullable=False),
    Column("state", String(8), nullable=False, default="open"),
    Column("resolution", String(16)),
    Column("resolved_by", String(128)),
    Column("resolved_why", Text),
    Column("created_at", UtcDateTime, nullable=False, server_default=now()),
    Column("closed_at", UtcDateTime),
    Column(
        "tenant_id", Id, ForeignKey("tenants.id"), nullable=False
    ),  # the job's, so that a list of letters reads no job
    Column("retried_as", Id),  # the new job that runs the ended one again
    Column(
        "redrive_at", UtcDateTime
    ),  # the relay sends it back then, in the name and for the reason of the next two
    Column("redrive_by", String(128)),
    Column("redrive_key", Id),
    Column("redrive_why", Text),
    CheckConstraint("state IN ('open','closed')", name="state"),
    # one open letter for an operation, however many workers find it exhausted
    _partial("uq_dead_letters_open", "operation_id", where="state = 'open'", unique=True),
    _partial("ix_dead_letters_blocking", "job_id", where="state = 'open' AND blocking"),
    Index("ix_dead_letters_job", "job_id"),
    Index("ix_dead_letters_tenant", "tenant_id", "id"),
    _partial("ix_dead_letters_open", "tenant_id", "id", where="state = 'open'"),
    _partial("ix_dead_letters_mirror", "id", where="state = 'open'"),
    _partial(
        "ix_dead_letters_redrive", "redrive_at", where="state = 'open' AND redrive_at IS NOT NULL"
    ),
)

inbox = (
    Table(  # callbacks, signals and decisions, also those that come before their step has parked
        "inbox",
        metadata,
        Column("job_id", Id, ForeignKey("jobs.id"), nullable=False),
        Column("step", String(64), nullable=False),
        Column("item", String(64), nullable=False, default=""),
        Column("source", String(64), nullable=False),
        Column("payload", Json),
        Column("actor", String(128)),
        Column("at", UtcDateTime, nullable=False, server_default=now()),
        PrimaryKeyConstraint(
            "job_id", "step", "item", "source"
        ),  # the second, contrary answer is a conflict
    )
)

outbox = Table(  # what leaves us: webhooks, mail, replies. An operation's row is the outbox of its own message
    "outbox",
    metadata,
    Column("id", Id, primary_key=True),
    Column("job_id", Id, ForeignKey("jobs.id"), nullable=False),
    Column("channel", String(16), nullable=False),
    Column("payload", Json, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("due_at", UtcDateTime, nullable=False),
    Column("sent_at", UtcDateTime),
    _partial("ix_outbox_due", "due_at", where="sent_at IS NULL"),
)

locks = Table(
    "locks",
    metadata,
    Column("key", String(255), primary_key=True),
    Column("job_id", Id, ForeignKey("jobs.id"), nullable=False),
    Column("taken_at", UtcDateTime, nullable=False, server_default=now()),
    Index("ix_locks_job", "job_id"),
)

lock_waiters = Table(  # a job has a row in the queue of every key it waits for, and takes all of them at once or none
    "lock_waiters",
    metadata,
    Column("key", String(255), nullable=False),
    Column(
        "place", Integer, nullable=False
    ),  # higher than that of everybody who was in one of its queues before
    Column("job_id", Id, ForeignKey("jobs.id"), nullable=False),
    Column("since", UtcDateTime, nullable=False, server_default=now()),
    Column("until", UtcDateTime, nullable=False),  # it gives up then
    PrimaryKeyConstraint("key", "place"),  # two jobs never stand at one place
    UniqueConstraint("job_id", "key"),
)

reconciliations = Table(  # what reconciliation found: a late job, or an effect about which a service says otherwise
    "reconciliations",
    metadata,
    Column("id", Id, primary_key=True),
    Column("at", UtcDateTime, nullable=False, server_default=now()),
    Column(
        "tenant_id", Id, ForeignKey("tenants.id")
    ),  # the job's; the default one's where there is no job
    Column("job_id", Id),  # no foreign key: an orphan is an effect of a job that does not exist
    Column("saga", String(64), nullable=False),
    Column("step", String(64), nullable=False, default=""),
    Column("item", String(64), nullable=False, default=""),
    Column("service", String(255), nullable=False, default=""),
    Column("key", String(255), nullable=False),  # of the effect; of a late job its id
    Column("finding", String(16), nullable=False),
    Column("action", String(16), nullable=False),
    Column("detail", Json),
    Column("actor", String(128), nullable=False),
    Column("closed_at", UtcDateTime),
    Column("closed_by", String(128)),
    Column("closed_why", Text),
    CheckConstraint(
        "finding IN ('late','missing_there','missing_here','different','orphan','unaskable')",
        name="finding",
    ),
    # one open finding, however many find it
    _partial(
        "uq_reconciliations_open",
        "finding",
        "key",
        "service",
        where="closed_at IS NULL",
        unique=True,
    ),
    _partial("ix_reconciliations_open", "tenant_id", "id", where="closed_at IS NULL"),
    _partial("ix_reconciliations_open_job", "job_id", where="closed_at IS NULL"),
    _partial("ix_reconciliations_open_kind", "finding", "id", where="closed_at IS NULL"),
    _partial("ix_reconciliations_asked", "id", where="closed_at IS NULL AND finding <> 'late'"),
    _partial(
        "ix_reconciliations_adopted", "key", where="action = 'adopted'"
    ),  # what is found again is looked up here
    Index("ix_reconciliations_tenant", "tenant_id", "id"),
)

rounds = Table(  # duties that come round: when the last one began, and where it stopped
    "rounds",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("begun_at", UtcDateTime, nullable=False),
    Column("position", String(64), nullable=False, default=""),
)

leases = Table(  # duties of which one process at a time has each
    "leases",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("holder", String(128), nullable=False),
    Column("fence", Integer, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
)

workers = Table(
    "workers",
    metadata,
    Column("boot", String(64), primary_key=True),
    Column("host", String(128), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("concurrency", Integer, nullable=False),
    Column("lanes", Json, nullable=False),
    Column("digests", Json, nullable=False),
    Column("consuming", Json),  # the queues it takes messages from; NULL until it has said so
    Column("children", Integer),  # how many of its children there are; NULL until it has said so
    Column("started_at", UtcDateTime, nullable=False, server_default=now()),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("stopped_at", UtcDateTime),
    _partial("ix_workers_seen", "seen_at", where="stopped_at IS NULL"),
)

quarantine = Table(  # messages nobody can run, kept with their reason
    "quarantine",
    metadata,
    Column("id", Id, primary_key=True),
    Column("at", UtcDateTime, nullable=False, server_default=now()),
    Column("reason", String(255), nullable=False),
    Column("queue", String(255), nullable=False),
    Column("headers", Json, nullable=False),
    Column("body", Text, nullable=False),  # at most its first 4,096 characters
    Column("size", Integer),  # bytes of the whole message, where it is known
    Column("discarded_at", UtcDateTime),
    Column("discarded_by", String(128)),
    Column("discarded_why", Text),
    Column("tenant_id", Id),  # of the job that it names; null where it names none that is here
    Index("ix_quarantine_tenant", "tenant_id", "id"),
    _partial("ix_quarantine_tenant_kept", "tenant_id", "id", where="discarded_at IS NULL"),
    _partial("ix_quarantine_kept", "id", where="discarded_at IS NULL"),
)

# what people did, to be read later. Triggers refuse an UPDATE, and a DELETE within a year
acts = Table(
    "acts",
    metadata,
    Column("id", Id, primary_key=True),
    Column("at", UtcDateTime, nullable=False, server_default=now()),
    Column(
        "tenant_id", Id, ForeignKey("tenants.id")
    ),  # of the object; of the actor's key where the object has none
    Column("key_id", Id),  # none: at a shell of the installation's machine
    Column("actor", String(128), nullable=False),
    Column("act", String(32), nullable=False),
    Column("object_kind", String(16), nullable=False),
    Column("object_id", String(255), nullable=False),
    Column("job_id", Id),  # no foreign key: they outlive what they are about
    Column("part_of", Id),  # of one letter among many: the act that names the request
    Column("reason", Text),
    Column("details", Json),
    Index("ix_acts_at", "at"),  # for the relay, which deletes the oldest
    _partial("ix_acts_all", "at", "id", where="part_of IS NULL"),
    _partial("ix_acts_tenant", "tenant_id", "at", "id", where="part_of IS NULL"),
    _partial("ix_acts_actor", "actor", "at", "id", where="part_of IS NULL"),
    _partial("ix_acts_job", "job_id", "at", "id", where="job_id IS NOT NULL"),
)

faults_fired = Table(  # how often each injected fault has fired, so that a restarted process does not start over
    "faults_fired",
    metadata,
    Column("fault", String(255), primary_key=True),
    Column("times", Integer, nullable=False),
)

# What happened outside, seen over action and undo operations: no second table that could disagree.
EFFECTS_VIEW = """
CREATE VIEW effects AS
SELECT a.id AS id, a.job_id AS job_id, a.step AS step, a.item AS item, a.rank AS rank, a.fidelity AS fidelity,
  CASE WHEN a.state = 'completed' THEN 'done' WHEN a.unsettled > 0 THEN 'unknown' ELSE 'none' END AS outcome,
  CASE WHEN u.id IS NULL THEN CASE
         WHEN j.dir = 'back' AND a.no_return AND (a.state = 'completed' OR a.unsettled > 0) THEN 'refused' ELSE 'not_needed' END
       WHEN u.decided = 'waived' THEN 'waived'
       WHEN u.state = 'completed' THEN 'done'
       WHEN u.state = 'skipped' THEN 'not_needed'
       WHEN u.state = 'failed' THEN 'refused'
       ELSE 'pending' END AS undo_state,
  u.attempts AS undo_attempts, u.id AS undo_id
FROM operations a
JOIN jobs j ON j.id = a.job_id
LEFT JOIN operations u ON u.job_id = a.job_id AND u.step = a.step AND u.item = a.item AND u.kind = 'undo'
WHERE a.kind = 'action' AND a.effectful
"""
