"""Every counter there is."""

from __future__ import annotations

from surefoot.app.metrics.kinds import Counter, Histogram
from surefoot.app.rules.reasons import OUTCOMES

OPERATION = ("saga", "step", "kind")

JOBS_SUBMITTED = Counter("jobs_submitted", "Jobs accepted.", ("saga",))
JOBS_ENDED = Counter(
    "jobs_ended", "Jobs that have ended, by how: completed, failed, cancelled.", ("saga", "end")
)
ATTEMPTS = Counter(
    "operation_attempts",
    f"Attempts of operations by how they ended: {', '.join(OUTCOMES)}. "
    "queue_timeout is an operation that no worker could do in time.",
    (*OPERATION, "outcome"),
)
ATTENTION = Counter("attention_asked", "How often a person was asked, by why.", (*OPERATION, "why"))
FENCES_REFUSED = Counter(
    "fences_refused",
    "Late results of attempts whose lease was lost, refused by their fence.",
    OPERATION,
)
CLAIMS_DROPPED = Counter(
    "claims_dropped",
    "Messages dropped because their operation was not to be run: copies, and late ones.",
    OPERATION,
)
PUBLISHED = Counter("messages_published", "Messages given to the broker.")
NOT_PUBLISHED = Counter(
    "messages_failed",
    "Messages the broker did not take, or was not asked to after a failure; the relay sends them.",
)
QUARANTINED = Counter(
    "messages_quarantined", "Messages that nobody can run, kept with their reason."
)
EVENTS_REFUSED = Counter(
    "events_refused",
    "Messages on the topic exchange that services did not believe, or could not read, by why.",
    ("service", "why"),
)
SWEEPS = Counter("sweeps", "Rounds of the active relay by how they ended: ok, failed.", ("result",))
SWEPT = Counter("swept", "What the relay's rounds have found and healed, by kind.", ("found",))
SWEEP_FAILED = Counter(
    "sweep_failures",
    "Rows of the relay's rounds, and whole duties, that failed and were left out, by duty.",
    ("duty",),
)
CONNECTIONS_ENDED = Counter(
    "connections_ended",
    "Connections that the web server ended: head or body came too slowly, an answer was not read, room or address was full.",
    ("why",),
)
REQUESTS = Histogram(
    "request_duration_seconds",
    "HTTP requests, by route and status.",
    ("method", "route", "status"),
    (0.01, 0.05, 0.25, 1.0, 5.0),
)
JOB_SECONDS = Histogram(
    "job_duration_seconds",
    "Jobs that have ended, from their acceptance to their end, by the store's clock.",
    ("saga", "end"),
    (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 3600.0, 86400.0),
)
STEP_SECONDS = Histogram(
    "operation_duration_seconds",
    "Attempts that their worker has ended, from the claim to the record of their outcome. Lost ones are counted, not timed.",
    (*OPERATION, "outcome"),
    (0.01, 0.05, 0.25, 1.0, 5.0, 30.0, 120.0, 600.0, 3600.0),
)


def show_from_the_start() -> None:
    """Those without labels stand at 0 before they first count, so that an alert on their growth sees the first one too."""
    for counter in (PUBLISHED, NOT_PUBLISHED, QUARANTINED):
        counter.add(0)
