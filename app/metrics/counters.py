"""Every counter there is."""

from __future__ import annotations

from surefoot.app.metrics.kinds import Counter, Histogram
from surefoot.app.rules.reasons import OUTCOMES

OPERATION = ("saga", "step", "kind")

JOBS_SUBMITTED = Counter("jobs_submitted", "Jobs accepted.", ("saga",))
JOBS_ENDED = Counter(
    "jobs_ended", "Ended jobs by outcome: completed, failed, cancelled.", ("saga", "end")
)
ATTEMPTS = Counter(
    "operation_attempts",
    f"Attempts of operations by how they ended: {', '.join(OUTCOMES)}. "
    "queue_timeout counts operations that no worker claimed in time.",
    (*OPERATION, "outcome"),
)
ESCALATIONS = Counter(
    "escalations", "Operations escalated to a person, by reason.", (*OPERATION, "why")
)
FENCES_REFUSED = Counter(
    "fences_refused",
    "Late results of attempts whose lease was lost, refused by their fence.",
    OPERATION,
)
DUPLICATE_DELIVERIES = Counter(
    "duplicate_deliveries",
    "Messages dropped because their operation must not run: copies, and late ones.",
    OPERATION,
)
PUBLISHED = Counter("messages_published", "Messages given to the broker.")
NOT_PUBLISHED = Counter(
    "messages_failed",
    "Messages that did not reach the broker; the relay sends them.",
)
QUARANTINED = Counter(
    "messages_quarantined", "Messages that no worker can run, kept with their reason."
)
EVENTS_REFUSED = Counter(
    "events_refused",
    "Messages on the topic exchange that services refused: untrusted or unreadable, by reason.",
    ("service", "why"),
)
SWEEPS = Counter(
    "relay_sweeps", "Rounds of the active relay by how they ended: ok, failed.", ("result",)
)
RELAY_REPAIRS = Counter("relay_repairs", "What the relay has repaired, by kind.", ("kind",))
SWEEP_FAILED = Counter(
    "sweep_failures",
    "Rows and duties of the relay's rounds that failed and were skipped, by duty.",
    ("duty",),
)
CONNECTIONS_ENDED = Counter(
    "connections_ended",
    "Connections that the web server closed: slow request, unread answer, too many connections.",
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
    "Duration of ended jobs, from acceptance to end, by the store's clock.",
    ("saga", "end"),
    (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 3600.0, 86400.0),
)
STEP_SECONDS = Histogram(
    "operation_duration_seconds",
    "Duration of attempts, from the claim to the recorded outcome. Lost attempts are not timed.",
    (*OPERATION, "outcome"),
    (0.01, 0.05, 0.25, 1.0, 5.0, 30.0, 120.0, 600.0, 3600.0),
)


def show_from_the_start() -> None:
    """Those without labels stand at 0 before they first count, so that an alert on their growth
    sees the first one too.
    """
    for counter in (PUBLISHED, NOT_PUBLISHED, QUARANTINED):
        counter.add(0)
