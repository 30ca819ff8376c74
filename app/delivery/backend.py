"""Celery's result backend, without results: it lets the store decide when a chord's body leaves.

Celery's own chords count header tasks in the result store. Such a counter can be lost, evicted,
counted twice by a redelivery, or stick when one header task ends in RETRY. Here the join is a row:
the transaction that completes the last header operation brings the body's `missing` to 0. The
worker marks that on the request (`joins_released`, operation ids), and this backend, which Celery
asks after each header task, publishes the body exactly then. Nothing of a chord is kept anywhere
else.
"""

from __future__ import annotations

from typing import Any

import structlog
from celery import states
from celery.backends.base import BaseBackend

from surefoot.app.delivery.canvas import body_of, first_id
from surefoot.app.delivery.publisher import Publisher

log = structlog.get_logger(__name__)


class StoreBackend(BaseBackend):
    """Keeps nothing; answers "pending" to every request for a result."""

    supports_native_join = True
    supports_failure_expires = True  # nothing is kept, so nothing outlives its time
    persistent = False

    def as_uri(self, include_password: bool = False) -> str:
        return "store://"

    # --- no results ---
    def store_result(
        self,
        task_id: str,
        result: Any,
        state: str,
        traceback: Any = None,
        request: Any = None,
        **_: Any,
    ) -> Any:
        return result

    def _store_result(self, *args: Any, **kwargs: Any) -> None:
        return None

    def get_task_meta(self, task_id: str, cache: bool = True) -> dict[str, Any]:
        return {"status": states.PENDING, "result": None, "task_id": task_id}

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        return self.get_task_meta(task_id)

    def task_result_exists(self, task_id: str) -> bool:
        return False

    def forget(self, task_id: str) -> None:
        return None

    def wait_for(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(
            "Surefoot keeps results in its store: ask for the job, not for a Celery result"
        )

    wait_for_pending = iter_native = wait_for

    # --- joins ---
    def ensure_chords_allowed(self) -> None:
        return None

    def apply_chord(self, header_result_args: Any, body: Any, **kwargs: Any) -> None:
        """A chord leaves: there is no counter to set up."""

    def on_chord_part_return(self, request: Any, state: str, result: Any, **kwargs: Any) -> None:
        """Called by Celery in the child after a header task that succeeded or failed (not after
        Retry and Ignore).

        Never raises: Celery would report a failure for an operation that is completed in the store.
        """
        if state != states.SUCCESS:
            return
        publisher = getattr(request, "publisher", None) or Publisher(self.app)
        body = body_of(publisher.app, request)
        released = getattr(request, "joins_released", None) or ()
        if body is None or first_id(body) not in released:
            return
        if publisher.go_on(body, parent_id=request.id, root_id=request.root_id):
            log.info("join_released", by=request.id, join=first_id(body))
        elif tell := getattr(request, "mark_unsent", None):
            tell([first_id(body)])
