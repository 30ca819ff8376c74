"""How many jobs may be open: what is accepted must land, so what cannot is refused in time.

The hazard: a burst of more jobs than can be done is accepted to the last, and then everybody's next
job waits for all of them. The answer: beyond SUREFOOT_OPEN_JOBS open jobs of a tenant a new one is
refused with a time to come again. Counting at each submission would cost as much as there is, so a
process counts once a second at most and adds what it accepts meanwhile; several processes may be
over the bound by what the others accept in that second. A request that comes again under its key is
answered however full it is: that is the caller's (app/engine/jobs/submit.py).
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

from sqlalchemy import Connection

from surefoot.app.errors import TooManyOpenJobs
from surefoot.app.store import job_reads

COUNT_AGAIN_S = 1.0
TENANTS_REMEMBERED = 1000
RETRY_AFTER_S = 10.0


@dataclass
class _Count:
    open_jobs: int
    at: float


class Admission:
    """`most`: open jobs of one tenant; `every_s`: how long a count is good for.

    One for a process; its threads share it.
    """

    def __init__(self, most: int, *, every_s: float = COUNT_AGAIN_S) -> None:
        self._most, self._every_s = most, every_s
        self._lock = threading.Lock()
        self._counts: OrderedDict[str, _Count] = OrderedDict()

    def admit(self, connection: Connection, tenant_id: str) -> None:
        """Have room for one more job. Raises: TooManyOpenJobs."""
        with self._lock:
            known = self._counts.get(tenant_id)
        if known is None or time.monotonic() - known.at >= self._every_s:
            known = _Count(
                job_reads.count_open(connection, tenant_id, self._most), time.monotonic()
            )
        with self._lock:
            other = self._counts.get(tenant_id)
            if other is not None and other.at > known.at:
                known = other  # another thread has counted since
            self._counts[tenant_id] = known
            self._counts.move_to_end(tenant_id)
            while len(self._counts) > TENANTS_REMEMBERED:
                self._counts.popitem(last=False)
            if known.open_jobs >= self._most:
                said = f"{self._most} jobs are open, which is as many as may be (SUREFOOT_OPEN_JOBS); some must end before another is taken"
                raise TooManyOpenJobs(said, retry_after_s=RETRY_AFTER_S)
            known.open_jobs += 1
