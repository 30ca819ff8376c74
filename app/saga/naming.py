"""The names everything else goes by: tasks, queues, effects.

They are seen by people (Flower, logs, broker) and are kept for ever, so they are made in one place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import NamedTuple

from surefoot.app.rules.states import KINDS, Kind

MAX_NAME_CHARS = 60
DEFAULT_TENANT = "default"  # whose jobs are those of an installation that never names a tenant
DEAD_LANE = (
    "dead"  # the queue that shows open dead letters; no worker serves it, so no step may name it
)
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class TaskName(NamedTuple):
    """The parts of a task's name."""

    saga: str
    step: str
    kind: str


class EffectKey(NamedTuple):
    """The parts of an effect's key."""

    job: str
    step: str
    item: str
    kind: str


def is_name(text: object) -> bool:
    """Whether this can name a saga, step or lane: lower case letters, digits and underscores, a
    letter first.

    No dots and no @: they separate the parts of task and queue names.
    """
    return (
        isinstance(text, str) and len(text) <= MAX_NAME_CHARS and _NAME.fullmatch(text) is not None
    )


def task_name(saga: str, step: str, kind: str) -> str:
    """`trip.book_hotel`, `trip.book_hotel.undo`, `trip.book_hotel.confirm`."""
    return f"{saga}.{step}" if kind == Kind.ACTION else f"{saga}.{step}.{kind}"


def parse_task_name(name: str) -> TaskName | None:
    """The parts of a name that `task_name` made; None for any other name."""
    saga, _, rest = name.partition(".")
    step, dot, kind = rest.partition(".")
    if not (is_name(saga) and is_name(step)) or (dot and kind not in KINDS[1:]):
        return None
    return TaskName(saga, step, kind or Kind.ACTION)


UNDO_QUEUE = ".undo"  # what the name of a lane's queue of undos ends in


def queue_name(lane: str, kind: str) -> str:
    """The Celery queue of a lane's operations: undos have one of their own, which workers look into
    first.
    """
    return f"{lane}{UNDO_QUEUE}" if kind == Kind.UNDO else lane


def effect_key(job_id: str, step: str, item: str, kind: str) -> str:
    """The name of an effect for ever: never with an attempt's number in it, or a second attempt
    would be a second effect.
    """
    return f"{job_id}:{step}:{item}:{kind}"


def parse_effect_key(key: str) -> EffectKey | None:
    """The parts of a key that `effect_key` made; None for anything else."""
    job, _, rest = key.partition(":")
    step, _, rest = rest.partition(":")
    item, colon, kind = rest.rpartition(":")
    return (
        EffectKey(job, step, item, kind)
        if colon and job and is_name(step) and kind in KINDS
        else None
    )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` Did you mean 'book_hotel'?`, or what there is to choose from."""
    names = list(known)
    close = get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f" Did you mean {close[0]!r}?"
    return f" There are: {', '.join(names)}." if names else " There are none yet."
