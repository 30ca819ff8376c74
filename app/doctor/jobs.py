"""Questions about the jobs: does what must always hold hold, and is a person asked?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from sqlalchemy import Engine

from surefoot.app.config import Settings
from surefoot.app.doctor.findings import Finding, fail, ok, some, warn
from surefoot.app.store import reconciliations
from surefoot.app.store.invariants import INVARIANTS, UNDER_WAY_S, Scope, slack_s, violations
from surefoot.app.store.session import reading
from surefoot.app.store.views import stats

DAY_S = 86400.0
LEFT_S = 120.0
LOOKED_AT = Scope(open_jobs=10_000, asked_jobs=10_000, newest_jobs=10_000)


def invariants(settings: Settings, db: Engine, *, every_job: bool = False) -> Iterator[Finding]:
    """Among the jobs that are open and the newest, or among all there ever were."""
    found = violations(
        db, slack_s=slack_s(settings), bound_s=UNDER_WAY_S, scope=None if every_job else LOOKED_AT
    )
    for sentence, ids in found.items():
        fix = "if it stays so with a relay active, it is a bug in Surefoot: report it with `surefoot jobs history JOB`"
        yield fail("invariants", f"not so: {sentence}: {some(ids, 3)}", fix)
    if not found:
        among = "all jobs" if every_job else f"open jobs and the newest {LOOKED_AT.newest_jobs:,}"
        yield ok("invariants", f"all {len(INVARIANTS)} hold among {among}")


def left_behind(settings: Settings, db: Engine) -> Iterator[Finding]:
    """Rows that an active relay should have seen to long ago: it cannot handle them, and goes on
    with the others.
    """
    long_s = max(LEFT_S, 4 * settings.lease_seconds)
    with reading(db) as connection:
        lease = stats.relay_lease(connection)
        rows = stats.left_behind(connection, long_s)
    if lease is None or lease.left_s <= 0:
        return  # another finding says that there is no relay
    for what, jobs in rows.items():
        fix = "see sweep.failed in the relay's log: a newer release's relay, or a mended one, goes on with them"
        yield fail(
            "left behind",
            f"the relay leaves out jobs {what} for more than {long_s:.0f} s: {some(jobs, 3)}",
            fix,
        )
    if not rows:
        yield ok("left behind", "the relay sees to all that is due")


def letters(_settings: Settings, db: Engine) -> Iterator[Finding]:
    with reading(db) as connection:
        asked = [row for row in stats.letters(connection) if row.needs_person]
    if asked:
        count = sum(row.count for row in asked)
        sagas = some(sorted({row.saga for row in asked}))
        said = f"{count} dead letter{'s need' if count > 1 else ' needs'} a person ({sagas})"
        yield warn("dead letters", said, "surefoot attention list")
    else:
        yield ok("dead letters", "none needs a person")


def findings(_settings: Settings, db: Engine) -> Iterator[Finding]:
    """What reconciliation found and nobody has closed."""
    with reading(db) as connection:
        counts = reconciliations.open_counts(connection)
    if counts:
        kinds = Counter[str]()
        for (finding, _saga), count in counts.items():
            kinds[finding] += count
        said = ", ".join(
            f"{count} {finding.replace('_', ' ')}" for finding, count in sorted(kinds.items())
        )
        yield warn(
            "reconciliation",
            f"open: {said} ({some(sorted({saga for _, saga in counts}))})",
            "surefoot reconcile list",
        )
    else:
        yield ok("reconciliation", "no job is late, and no service was found to say otherwise")


def quarantine(_settings: Settings, db: Engine) -> Iterator[Finding]:
    with reading(db) as connection:
        count, reason = stats.quarantined_since(connection, DAY_S)
    if count:
        many = f"{count} or more" if count >= stats.NEWEST_QUARANTINED else str(count)
        said = f"{many} message{'s' if count > 1 else ''} that nobody can run came in the last day, the last one: {reason}"
        yield warn(
            "quarantine",
            said,
            "find who writes into our queues besides us: surefoot quarantine list",
        )
    else:
        yield ok("quarantine", "no message of the last day was one that nobody can run")
