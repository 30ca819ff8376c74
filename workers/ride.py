"""Run-on: one delivery, several operations of its chain.

When the next element of the chain belongs to the same lane, the completion before it claims it in the same transaction, and
this child runs it at once; the message that would have carried it never leaves. Each stays an operation of its own: own id,
attempt, lease and limits, own events in Flower. A message that comes again after a crash walks the same chain: what is done
answers as done, the first that is not is claimed.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from app.config import settings
from app.delivery.canvas import carried
from app.engine.work import Delivery, Performed, Rider, Verdict
from app.saga.naming import parse_task_name
from workers import boot

if TYPE_CHECKING:
    from celery import Task

RAN_ON = "surefoot:ran-on"  # what a task returns whose own success was told already; see StepRequest.send_event
EVENT_OF: dict[Verdict, str] = {
    Verdict.COMPLETED: "task-succeeded",
    Verdict.REPEATED: "task-succeeded",
    Verdict.RETRY: "task-retried",
    Verdict.PARKED: "task-retried",
    Verdict.DROPPED: "task-revoked",
    Verdict.FAILED: "task-failed",
}


class Ride:
    """One delivery's way along its lane."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._request: Any = task.request
        self._began = self._part_began = time.monotonic()
        self._current: str = self._request.id
        self.moved = False

    def delivery(self, operation_id: str, task: str, job_id: str, item: str) -> Delivery:
        """What the engine is to do, with what rides on it and what may be run on to."""
        name = parse_task_name(task)
        return Delivery(
            operation_id=operation_id,
            job_id=job_id,
            step=name.step if name else "",
            kind=name.kind if name else "",
            item=item,
            boot=boot.BOOT,
            pid=os.getpid(),
            # While the broker is known to be away nothing rides on this delivery: the store keeps what it releases unsent.
            carried=frozenset() if boot.publisher().paused else carried(self._request),
            rider=self._rider(),
            message=self._request.id,
            saga=name.saga if name else "",
        )

    def move_on(self, job_id: str, item: str) -> Delivery:
        """The rider was claimed: take it from the chain, tell Flower, and say what the engine is to do."""
        element = self._request.chain.pop()
        following = element["options"]["task_id"]
        self._tell_end_of_part("task-succeeded", result=f"'{Verdict.COMPLETED}'")
        about = {"root_id": self._request.root_id, "parent_id": self._current, "retries": 0, "eta": None, "expires": None}
        shown = {"args": element["options"].get("argsrepr", ""), "kwargs": element["options"].get("kwargsrepr", "{}")}
        self._tell("task-received", following, name=element["task"], **shown, **about)
        self._tell("task-started", following)
        self._current, self._part_began, self.moved = following, time.monotonic(), True
        self._request.ran_on = (*getattr(self._request, "ran_on", ()), element["task"])
        return self.delivery(following, element["task"], job_id, item)

    def tell_end(self, performed: Performed) -> None:
        """How the last operation ended, where that is not the message's own."""
        event = EVENT_OF[performed.verdict]
        said = performed.error or str(performed.verdict)
        if event == "task-succeeded":
            self._tell_end_of_part(event, result=repr(str(performed.verdict)))
        elif event == "task-revoked":
            self._tell(event, self._current, terminated=False, signum=None, expired=False)
        else:
            self._tell(event, self._current, exception=said, traceback="")

    # --- how ---
    def _rider(self) -> Rider | None:
        """The next element, if this delivery may run it: same lane, a plain operation of ours, and time is left."""
        chain = self._request.chain
        element = chain[-1] if chain else None
        if element is None or element.get("subtask_type") or not element.get("immutable"):
            return None
        options, name = element.get("options") or {}, parse_task_name(element.get("task", ""))
        if name is None or options.get("chord") or options.get("link") or element["task"] not in self._task.app.tasks:
            return None
        here = (self._request.delivery_info or {}).get("routing_key")
        if options.get("queue") != here or not options.get("task_id") or not self._has_time_for(element["task"]):
            return None
        return Rider(options["task_id"], name.step, name.kind)

    def _has_time_for(self, task: str) -> bool:
        """Celery's limit is the message's: what might outlast it goes by a message of its own."""
        spent = time.monotonic() - self._began
        in_message = next((float(value) for value in self._request.timelimit or () if value), None)
        hard_s, needed_s = in_message or self._task.time_limit, self._task.app.tasks[task].time_limit
        return spent < settings().run_on_seconds and (hard_s is None or (needed_s is not None and needed_s <= hard_s))

    @property
    def _tells(self) -> bool:
        return bool(self._task.app.conf.worker_send_task_events)

    def _tell_end_of_part(self, event: str, **fields: Any) -> None:
        self._tell(event, self._current, runtime=time.monotonic() - self._part_began, **fields)

    def _tell(self, event: str, operation_id: str, **fields: Any) -> None:
        if self._tells:
            boot.events(self._request.hostname).tell(event, uuid=operation_id, **fields)
