"""A delivery in the worker's main process: is it our message, and what if its child dies?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from billiard.einfo import ExceptionInfo, ExceptionWithTraceback
from celery.exceptions import InvalidTaskError, TimeLimitExceeded, WorkerLostError
from celery.worker.request import Request

from surefoot.app.config import settings
from surefoot.app.engine.worker import leases
from surefoot.app.store.claims import Holder
from surefoot.app.store.ids import is_id
from surefoot.workers import boot
from surefoot.workers.children import end_what_it_started, kill_child
from surefoot.workers.continuation import RAN_ON

log = structlog.get_logger(__name__)
MALFORMED = (LookupError, TypeError, ValueError, AttributeError)
ITEM_CHARS = 255
CHAIN_ELEMENTS = 100
SIGNATURES_DEEP = 4  # an element, its chord, that one's chain and its tasks


class StepRequest(Request):
    """Celery subclasses this once more and overrides `execute_using_pool` and `on_success`: those
    are never ours.
    """

    def __init__(self, message: Any, **options: Any) -> None:
        """Raises: InvalidTaskError.

        Here is the last place for it: what is wrong later takes a pool slot for ever.
        """
        try:
            super().__init__(message, **options)
            fault = fault_of(self._request_dict, self._args, self._kwargs, self._payload)
        except MALFORMED as error:
            raise InvalidTaskError(f"not a task message: {error!r}") from error
        if fault:
            raise InvalidTaskError(fault)
        if (
            self.request_dict["task"] not in self._app.tasks
        ):  # a step of another version of the code: see surefoot.workers.tasks.register_all
            self._type = self._task.name

    def revoked(self) -> bool:
        """No: whether an operation runs, its row says.

        A worker remembers a revoked id for hours, and would drop every message of it that the store
        rings again.
        """
        return False

    def on_failure(
        self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False
    ) -> Any:
        """A dead child's claim is ended first, then its message put back, or the second attempt
        finds the claim taken.
        """
        error = exc_info.exception
        if isinstance(error, ExceptionWithTraceback):
            error = error.exc
        if isinstance(
            error, MemoryError
        ):  # Celery would end the worker; the child's process may live
            exc_info = _worker_lost("ran out of memory outside its step")
            error = (
                exc_info.exception.exc
                if isinstance(exc_info.exception, ExceptionWithTraceback)
                else exc_info.exception
            )
        if isinstance(error, (WorkerLostError, TimeLimitExceeded, SystemExit)):
            self._end_claim(error)
        return super().on_failure(
            exc_info, send_failed_event=send_failed_event, return_ok=return_ok
        )

    def send_event(self, type: str, **fields: Any) -> Any:  # noqa: A002 - Celery's name
        """Celery tells of the message; where its delivery ran on, the child has told of each
        operation already.
        """
        if type == "task-succeeded" and RAN_ON in str(fields.get("result", "")):
            return None
        return super().send_event(type, **fields)

    def _end_claim(self, error: BaseException) -> None:
        if boot.handing_back.is_set():
            return  # killed on purpose (`surefoot.workers.drain`): no attempt is used
        why = (
            "ran past Celery's limit"
            if isinstance(error, TimeLimitExceeded)
            else "its process was lost"
        )
        if self.worker_pid:
            kill_child(
                self.worker_pid
            )  # past a limit it still lives, and would run beside the next attempt
            end_what_it_started(self.worker_pid)
        try:
            leases.report_child_lost(
                boot.db(),
                settings(),
                boot.publisher(),
                Holder(worker_id=boot.BOOT, pid=self.worker_pid or 0, message=self.id),
                why,
            )
        except Exception as failed:  # the lease runs out by itself
            log.warning("claim.not_ended", operation=self.id, error=repr(failed))


def _worker_lost(why: str) -> Any:
    try:
        raise WorkerLostError(why)
    except WorkerLostError:
        return ExceptionInfo()


def fault_of(headers: Mapping[str, Any], args: Any, kwargs: Any, payload: Any) -> str | None:
    """What is wrong with this message, or None. Only what our own producers send is right."""
    if not (isinstance(headers.get("id"), str) and is_id(headers["id"])):
        return "the id is not an operation's id"
    if not (
        isinstance(args, (list, tuple))
        and 1 <= len(args) <= 2
        and all(isinstance(a, str) for a in args)
    ):
        return "the arguments are not (job id, item)"
    if not is_id(args[0]) or (len(args) == 2 and len(args[1]) > ITEM_CHARS):
        return "the arguments are not (job id, item)"
    if kwargs != {}:
        return "there are keyword arguments"
    if headers.get("eta") is not None or headers.get("expires") is not None:
        return "it has an ETA or an expiry"  # held in a worker's memory; times are the store's
    return _fault_of_headers(headers) or _fault_of_embed(payload[2])


def _fault_of_headers(headers: Mapping[str, Any]) -> str | None:
    limits = headers.get("timelimit")
    if limits is not None and not (
        isinstance(limits, (list, tuple)) and len(limits) == 2 and all(_is_limit(v) for v in limits)
    ):
        return "the time limits are not a pair of numbers"
    for name in ("root_id", "parent_id", "group", "argsrepr", "kwargsrepr", "shadow", "origin"):
        if not isinstance(headers.get(name), (str, type(None))):
            return f"the header {name} is not a text"
    for name in ("retries", "group_index", "replaced_task_nesting"):
        if not isinstance(headers.get(name), (int, type(None))):
            return f"the header {name} is not a number"
    if headers.get("stamped_headers") or headers.get("stamps"):
        return "it has stamps"
    return None


def _fault_of_embed(embed: Any) -> str | None:
    if embed is None:
        return None
    if not isinstance(embed, Mapping):
        return "what follows it is not a mapping"
    chain = embed.get("chain")
    if chain is not None and not (
        isinstance(chain, list) and len(chain) <= CHAIN_ELEMENTS and all(map(_is_signature, chain))
    ):
        return "its chain is not a list of signatures"
    chord = embed.get("chord")
    if chord is not None and not _is_signature(chord):
        return "its chord is not a signature"
    if embed.get("callbacks") or embed.get("errbacks"):
        return "it has callbacks"
    return None


def _is_limit(value: Any) -> bool:
    return value is None or (
        isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0
    )


def _is_signature(value: Any, within: int = SIGNATURES_DEEP) -> bool:
    """A signature, the tasks of a chain and the chord in its options included: a ride looks into
    both.
    """
    if not (
        within
        and isinstance(value, Mapping)
        and isinstance(value.get("task"), str)
        and isinstance(value.get("args", []), (list, tuple))
        and isinstance(value.get("kwargs", {}), Mapping)
        and isinstance(value.get("options", {}), Mapping)
        and isinstance(value.get("subtask_type"), (str, type(None)))
    ):
        return False
    chord = value.get("options", {}).get("chord")
    tasks = value.get("kwargs", {}).get("tasks") if value.get("subtask_type") == "chain" else []
    return (chord is None or _is_signature(chord, within - 1)) and (
        isinstance(tasks, list)
        and len(tasks) <= CHAIN_ELEMENTS
        and all(_is_signature(task, within - 1) for task in tasks)
    )
