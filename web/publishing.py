"""Ringing after the commit, in a bounded time.

The publisher's sockets have time-outs, but one publish is several round trips, and looking up a
name has no time-out at all. So the ring is done by a thread of its own, and the request waits for
it a third of a second at most. A busy moment only makes rings late: they stand in line. What stood
in line for too long is left to the relay, which has it by then; so is everything when the line is
full. The job is committed either way.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet

from sqlalchemy import Engine

from surefoot.app.engine.jobs.dispatch import Publishes, publish_plan
from surefoot.app.rules.planner import Plan

# of a request for its ring, which takes milliseconds when the broker is well; with it a POST stays
# far under 0.8 s
WAIT_S = 0.3
RINGERS = 4
LINE = 256  # rings that may stand in line


class Bell:
    """Rings plans.

    Safe in threads; its own threads start with the first ring, so that it may be made before a
    fork.

    `stale_s`: a ring that stood in line for so long is left to the relay, which takes over then
    (SUREFOOT_UNSENT_SECONDS).
    """

    def __init__(self, db: Engine, publisher: Publishes, stale_s: float) -> None:
        self.stale_s = stale_s
        self._db = db
        self._publisher = publisher
        self._places = threading.BoundedSemaphore(LINE)
        self._ringers = ThreadPoolExecutor(RINGERS, thread_name_prefix="bell")

    def warm(self, connect: Callable[[], object]) -> None:
        """Connect now, aside, so that the first request does not wait for it."""
        for _ in range(RINGERS):
            self._ringers.submit(connect)

    def publish_plan(self, plan: Plan) -> bool:
        """Ring this plan. False: not known to have left in time; if it has not, the relay sends it."""
        if not plan:
            return True
        if not self._places.acquire(blocking=False):
            return False
        try:
            rung = self._ringers.submit(self._ring, plan, time.monotonic() + self.stale_s)
        except BaseException:
            self._places.release()
            raise
        return self._answer(rung)

    def close(self, *, wait: bool = False) -> None:
        self._ringers.shutdown(wait=wait, cancel_futures=not wait)

    def _ring(self, plan: Plan, until: float) -> bool:
        try:
            return time.monotonic() < until and publish_plan(self._db, self._publisher, plan)
        finally:
            self._places.release()

    def _answer(self, rung: Future[bool]) -> bool:
        try:
            return rung.result(timeout=WAIT_S)
        except NotYet:
            return False
