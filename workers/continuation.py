"""Run-on: one delivery, several operations of its chain.

When the next element of the chain belongs to the same lane, the completion before it claims it in
the same transaction, and this child runs it at once; the message that would have carried it never
leaves. So it is with the join behind the last element of a chord's header, for the member that
releases it. Each stays an operation of its own: own id, attempt, lease and limits, own events in
Flower. A message that comes again after a crash walks the same chain: what is done answers as done,
the first that is not is claimed.

The members of a batch do not wait for each other, so none may wait long: what is behind a member
leaves by a message of its own as soon as the delivery has taken SUREFOOT_BATCH_SECONDS, and also
when a member does not go well.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import structlog

from surefoot.app.config import settings
from surefoot.app.delivery.canvas import carried, first_id, first_of, following, next_of_chain
from surefoot.app.engine.worker.delivery import (
    Delivery,
    DeliveryOutcome,
    ExecutionResult,
    NextOperation,
    Onward,
)
from surefoot.app.engine.worker.loop import Continuation
from surefoot.app.errors import StoreUnavailable
from surefoot.app.saga.naming import parse_task_name
from surefoot.workers import boot, leftovers
from surefoot.workers.lanes import registry
from surefoot.workers.time_limits import StepBroke, StepTimeout

if TYPE_CHECKING:
    from celery import Task

log = structlog.get_logger(__name__)
NotSent = Callable[[Collection[str]], None]
# what a task returns whose own success was told already; see StepRequest.send_event
RAN_ON = "surefoot:ran-on"
EVENT_OF: dict[DeliveryOutcome, str] = {
    DeliveryOutcome.COMPLETED: "task-succeeded",
    DeliveryOutcome.REPEATED: "task-succeeded",
    DeliveryOutcome.RETRY: "task-retried",
    DeliveryOutcome.PARKED: "task-retried",
    DeliveryOutcome.DROPPED: "task-revoked",
    DeliveryOutcome.FAILED: "task-failed",
}


class ChainContinuation(Continuation):
    """A Celery message in a child's hand. A timer's thread may take a batch's rest away from it.

    `mark_unsent`: told of operations that should have left and could not.
    """

    def __init__(self, task: Task, mark_unsent: NotSent, job_id: str, item: str) -> None:
        self._task = task
        self._not_sent, self._job_id, self._item = mark_unsent, job_id, item
        self._request: Any = task.request
        self._began = self._part_began = time.monotonic()
        self._current: str = self._request.id
        # what comes after the current operation, as it was when that began, and whether it does not
        # wait for it (a batch's)
        self._next: Mapping[str, Any] | None = None
        self._apart = False
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()  # around every change of the request's chain
        self.moved = False

    def delivery(self) -> Delivery:
        return self._delivery(self._request.id, self._request.task)

    def _delivery(self, operation_id: str, task: str) -> Delivery:
        name = parse_task_name(task)
        self._next = following(self._request)
        self._apart = self._next is not None and self._is_apart(task, self._next.get("task", ""))
        if self._timer is None and self._apart:
            self._timer = threading.Timer(settings().batch_seconds, self._share)
            self._timer.daemon = True
            self._timer.start()
        return Delivery(
            operation_id=operation_id,
            job_id=self._job_id,
            step=name.step if name else "",
            kind=name.kind if name else "",
            item=self._item,
            worker_id=boot.BOOT,
            pid=os.getpid(),
            # While the broker is known to be away nothing rides on this delivery: the store keeps
            # what it releases unsent.
            carried=frozenset() if boot.publisher().paused else carried(self._request),
            rider=self._rider(self._next),
            message=self._request.id,
            saga=name.saga if name else "",
            fit=leftovers.fit,
            apart=self._apart,
        )

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Nothing that comes out of an operation may end the worker.

        Raises: Reject, for a message that goes back.
        """
        try:
            yield
        except StoreUnavailable as error:
            self._task.give_back(error)
        except (MemoryError, SystemExit, StepTimeout) as error:
            raise StepBroke(repr(error)) from None  # either would take the worker with it
        finally:
            self._end()

    def move_on(self, performed: ExecutionResult) -> Delivery:
        """The rider was claimed: take it from the chain, tell Flower, and say what the engine is to
        do.
        """
        element = self._next
        assert element is not None, "nothing was offered to be run on to"
        self._take(element)
        rider = element["options"]["task_id"]
        self._tell_end_of_part("task-succeeded", result=repr(performed.said))
        about = {
            "root_id": self._request.root_id,
            "parent_id": self._current,
            "retries": 0,
            "eta": None,
            "expires": None,
        }
        shown = {
            "args": element["options"].get("argsrepr", ""),
            "kwargs": element["options"].get("kwargsrepr", "{}"),
        }
        self._tell("task-received", rider, name=element["task"], **shown, **about)
        self._tell("task-started", rider)
        self._current, self._part_began, self.moved = rider, time.monotonic(), True
        self._request.ran_on = (*getattr(self._request, "ran_on", ()), element["task"])
        return self._delivery(rider, element["task"])

    def leave(self, onward: Onward) -> frozenset[str]:
        """Send what follows in the chain.

        The body of the chord is sent by our result backend, which Celery asks next.

        Celery would send the chain's next element itself, and report a failure for a completed
        operation when the broker is gone. This sends the very same message and keeps quiet: what
        did not leave, the sweep finds.
        """
        request = self._request
        request.publisher, request.mark_unsent = boot.publisher(), self._not_sent
        request.joins_released = onward.joins
        with self._lock:
            chain, request.chain = request.chain, None
        return self._send(chain) if chain and onward.chain else frozenset()

    def served(self) -> None:
        """Celery acknowledges; `surefoot.workers.celery_app` hears of it just before."""

    def _end(self) -> None:
        """Nothing of this delivery runs any more, however it went."""
        if self._timer is not None:
            self._timer.cancel()

    def tell_end(self, performed: ExecutionResult) -> None:
        """How the last operation ended, where that is not the message's own."""
        event = EVENT_OF[performed.verdict]
        if event == "task-succeeded":
            self._tell_end_of_part(event, result=repr(performed.said))
        elif event == "task-revoked":
            self._tell(event, self._current, terminated=False, signum=None, expired=False)
        else:
            self._tell(event, self._current, exception=performed.said, traceback="")

    # --- what comes next ---
    def _take(self, element: Mapping[str, Any]) -> None:
        """The element is ours now.

        The last one of a header's chain brings its chord with it, the body of a chord what is
        behind it.
        """
        request = self._request
        with self._lock:
            if request.chain:
                request.chain.pop()
            elif request.chord and (first := first_of(request.chord)) and first[0] is element:
                request.chain, request.chord = [*reversed(first[1])], None
                return
            request.chord = element["options"].get("chord")

    def _rider(self, element: Mapping[str, Any] | None) -> NextOperation | None:
        """The next element, if this delivery may run it: same lane, one of our plain operations,
        and time is left.
        """
        if element is None or element.get("subtask_type") or not element.get("immutable"):
            return None
        options, name = element.get("options") or {}, parse_task_name(element.get("task", ""))
        if name is None or options.get("link") or element["task"] not in self._task.app.tasks:
            return None
        here = (self._request.delivery_info or {}).get("routing_key")
        if (
            options.get("queue") != here
            or not options.get("task_id")
            or not self._has_time_for(element)
        ):
            return None
        return NextOperation(options["task_id"], name.step, name.kind)

    def _has_time_for(self, element: Mapping[str, Any]) -> bool:
        """Celery's limit is the message's: what might outlast it goes by a message of its own."""
        spent = time.monotonic() - self._began
        in_message = next((float(value) for value in self._request.timelimit or () if value), None)
        hard_s, needed_s = (
            in_message or self._task.time_limit,
            self._task.app.tasks[element["task"]].time_limit,
        )
        within_s = settings().batch_seconds if self._apart else settings().run_on_seconds
        return spent < within_s and (
            hard_s is None or (needed_s is not None and needed_s <= hard_s)
        )

    @staticmethod
    def _is_apart(task: str, following: str) -> bool:
        """Whether two tasks stand beside each other in a batch, as far as this worker knows; the
        claim decides.
        """
        now, then = parse_task_name(task), parse_task_name(following)
        saga = registry().get(now.saga) if now and then and now.saga == then.saga else None
        return bool(
            now and then and saga and saga.graph.apart(now.step, now.kind, then.step, then.kind)
        )

    # --- messages ---
    def _share(self) -> None:
        """The timer's: the current operation takes long, and what is behind it in its batch does
        not wait for it.
        """
        with self._lock:
            if not self._request.chain or not self._apart:
                return
            chain, self._request.chain = self._request.chain, None
        log.info("batch_shared", operations=len(chain), after_s=settings().batch_seconds)
        if unsent := self._send(chain):
            self._not_sent(unsent)

    def _send(self, chain: list[Any]) -> frozenset[str]:
        """Returns what could not be sent."""
        publisher = boot.publisher()
        signature, rest = next_of_chain(publisher.app, chain)
        request = self._request
        if publisher.go_on(signature, chain=rest, parent_id=request.id, root_id=request.root_id):
            return frozenset()
        unsent = chain if self._apart else chain[-1:]  # a batch's others count as sent too
        return frozenset(id_ for element in unsent if (id_ := first_id(element)))

    # --- what Flower sees ---
    @property
    def _tells(self) -> bool:
        return bool(self._task.app.conf.worker_send_task_events)

    def _tell_end_of_part(self, event: str, **fields: Any) -> None:
        self._tell(event, self._current, runtime=time.monotonic() - self._part_began, **fields)

    def _tell(self, event: str, operation_id: str, **fields: Any) -> None:
        if self._tells:
            boot.events(self._request.hostname).tell(event, uuid=operation_id, **fields)
