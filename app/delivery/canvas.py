"""A plan as Celery canvas: chains and chords of immutable signatures by task name.

A message carries two arguments, the job id and the item, and no payload. Its task id is the
operation's id on every dispatch, so Flower shows one line for an operation however often it is
rung.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from celery import Celery, chain, chord
from celery.canvas import Signature, maybe_signature

from surefoot.app.config import settings
from surefoot.app.delivery.queues import on_broker
from surefoot.app.rules.planner import Chain, Chord, Message, Plan
from surefoot.app.saga.naming import parse_task_name
from surefoot.app.store.views.names import short_name


def signature(app: Celery, message: Message) -> Signature:
    """One message.

    `argsrepr` is what Flower shows: not the arguments, but whose they are, and where to look.
    """
    return app.signature(
        message.task,
        args=(message.job_id, message.item),
        immutable=True,
        queue=on_broker(message.queue),
        task_id=message.operation_id,
        root_id=message.job_id,
        argsrepr=_shown(message),
        kwargsrepr="{}",
        ignore_result=True,
    )


def _shown(message: Message) -> str:
    """As `order-7K3F http://shop/jobs/01a2…`: the name that people say, the item of a list, the
    page of the job.
    """
    name = parse_task_name(message.task)
    item = f" {message.item}" if message.item else ""
    page = f"{settings().pages_url}/jobs/{message.job_id}"
    return f"{short_name(name.saga if name else '', message.job_id)}{item} {page}"


def to_canvas(app: Celery, plan: Plan) -> list[Signature]:
    """One canvas for each part of the plan, in its order; `apply_async` of each publishes the
    messages that leave now.
    """
    return [_chord(app, part) if isinstance(part, Chord) else _chain(app, part) for part in plan]


def _chain(app: Celery, part: Chain) -> Signature:
    signatures = [signature(app, message) for message in part.messages]
    return signatures[0] if len(signatures) == 1 else chain(*signatures, app=app)


def _chord(app: Celery, part: Chord) -> Signature:
    return chord([_chain(app, run) for run in part.header], _chain(app, part.body), app=app)


def next_of_chain(app: Celery, chain: list[Any]) -> tuple[Signature, list[Any]]:
    """The next element of what is left of a chain, and the elements after it (reversed, as Celery
    keeps them).
    """
    return maybe_signature(chain[-1], app=app), list(chain[:-1])


def body_of(app: Celery, request: Any) -> Signature | None:
    """The chord body that this delivery carries, or None."""
    return maybe_signature(request.chord, app=app) if request.chord else None


def first_of(canvas: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[Any]] | None:
    """The first message of a signature or a chain, and what comes after it there."""
    if canvas.get("subtask_type") != "chain":
        return canvas, []
    tasks = canvas["kwargs"]["tasks"]
    if not tasks:
        return None
    first = first_of(tasks[0])
    return (first[0], [*first[1], *tasks[1:]]) if first else None


def first_id(canvas: Mapping[str, Any]) -> str | None:
    """The task id of the first message of a signature or a chain."""
    first = first_of(canvas)
    task_id = (first[0].get("options") or {}).get("task_id") if first else None
    return str(task_id) if task_id else None


def following(request: Any) -> Mapping[str, Any] | None:
    """The message that comes after this delivery's: the next element of its chain; at its end, the
    first of its chord's body.

    The last task of a header's chain carries the chord, so a body counts only there.
    """
    if request.chain:
        return request.chain[-1]  # type: ignore[no-any-return]
    first = first_of(request.chord) if request.chord else None
    return first[0] if first else None


def carried(request: Any) -> frozenset[str]:
    """The operations that this delivery publishes by itself."""
    after = following(request)
    found = first_id(after) if after else None
    return frozenset((found,)) if found else frozenset()
