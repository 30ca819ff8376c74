"""A question about the topic exchange: did services hear what they do not believe?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from surefoot.app.config import Settings
from surefoot.app.doctor.findings import Finding, warn
from surefoot.app.metrics.files import collected

REFUSED = "surefoot_events_refused"


def events(settings: Settings) -> Iterator[Finding]:
    """Counted by the services' processes under this home, since `surefoot up` began or the
    counters were cleaned."""
    why: Counter[str] = Counter()
    for metric in collected(settings.home):
        if metric.name == REFUSED:
            for sample in metric.samples:
                why[str(sample.labels.get("why"))] += int(sample.value)
    if why:
        told = ", ".join(f"{count} {word}" for word, count in sorted(why.items()))
        fix = "find who else writes to the broker: surefoot choreography letters"
        yield warn(
            "events",
            f"services refused {sum(why.values())} messages on the topic exchange: {told}",
            fix,
        )
