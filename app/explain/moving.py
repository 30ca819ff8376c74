"""What each operation of a job that has not ended is waiting for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from surefoot.app.explain.facts import Facts, message_of
from surefoot.app.explain.words import at, counted
from surefoot.app.rules.states import Kind, OpState
from surefoot.app.rules.waits import WaitingFor, rule_of
from surefoot.app.store.views.locks import InLine
from surefoot.app.store.views.names import stamp
from surefoot.app.store.views.snapshot import Operation

ALIKE_MOST = 3  # steps that are named one by one with the same sentence
_TIME = re.compile(r"\d\d:\d\d(:\d\d)? UTC")


@dataclass(frozen=True)
class Wait:
    """One thing waited for; `words` is its part of the sentence."""

    kind: WaitingFor
    what: str
    since: datetime | None
    ends_by: datetime | None
    words: str
    next: str
    about: str = ""  # the step that `words` is about

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "what": self.what,
            "since": stamp(self.since),
            "ends_by": stamp(self.ends_by),
        }


def waits(facts: Facts) -> list[Wait]:
    """What is going on, in the order of the graph: attempts first, then what has a time, then what
    lies ready.
    """
    found = [
        replace(wait, about=facts.title(op))
        for op in facts.snapshot.operations
        if (wait := _wait(facts, op)) is not None
    ]
    if facts.in_line is not None:
        found.append(_lock(facts, facts.in_line))
    return sorted(found, key=lambda wait: wait.kind.rank)


def told(found: Sequence[Wait]) -> list[str]:
    """Their parts of the sentence. What is alike for many steps is said once, with their number."""
    alike: dict[str, list[Wait]] = {}
    for wait in found:
        said = wait.words.replace(wait.about, "") if wait.about else wait.words
        alike.setdefault(_TIME.sub("", said), []).append(wait)
    words: list[str] = []
    for waiting in alike.values():
        if len(waiting) <= ALIKE_MOST:
            words += [wait.words for wait in waiting]
        else:
            words.append(f"{waiting[0].words}; the same of {len(waiting) - 1} more steps")
    return words


def _wait(facts: Facts, op: Operation) -> Wait | None:
    if op.state == OpState.RUNNING:
        return _running(facts, op)
    if op.state == OpState.WAITING:
        return _parked(facts, op)
    return _in_line(facts, op) if op.in_line else None


def _running(facts: Facts, op: Operation) -> Wait:
    title = facts.title(op)
    since = f" since {at(op.started_at, facts.today)}" if op.started_at else ""
    words = f"running {title}{since}"
    if op.attempts > 1:
        words = f"running {title}, attempt {op.attempts}{_of(facts, op)}{since.replace(' since', ', first begun')}"
    said = (op.progress or {}).get("message")
    words += f" ({said})" if said else ""
    words += _last_attempt(op)
    words += (
        f"; unless it sends a heartbeat by {at(op.heartbeat_deadline_at, facts.today)} it is ended and tried again"
        if op.heartbeat_deadline_at
        else ""
    )
    if op.stop_requested:
        words = f"waiting for {title} to stop, which was running when the undo began"
        return Wait(
            WaitingFor.STOP,
            f"{title} to stop",
            op.started_at,
            None,
            words,
            f"{title} stops, then it is undone",
        )
    return Wait(
        WaitingFor.STEP, title, op.started_at, None, words, f"{title} ends{_then(facts, op)}"
    )


def _last_attempt(op: Operation) -> str:
    """Why this attempt is not the first."""
    return f"; the last attempt: {message_of(op.error)}" if op.attempts and op.error else ""


def _of(facts: Facts, op: Operation) -> str:
    """Of how many attempts, where they are counted."""
    return (
        f" of {op.max_attempts}"
        if facts.snapshot.graph.by_name[op.step].limits_of(op.kind).counted
        else ""
    )


def _then(facts: Facts, op: Operation) -> str:
    """What follows an action that goes well."""
    followers = facts.snapshot.graph.followers[op.step] if op.kind == Kind.ACTION else ()
    return f", then {counted(followers, 'that wait for it')}" if followers else ""


def _parked(facts: Facts, op: Operation) -> Wait | None:
    """In the words of why it is parked; None where that is told once for the job."""
    rule, job = rule_of(op.wait_reason), facts.snapshot.job
    if rule.of_job:
        return None
    said = {
        "title": facts.title(op),
        "error": message_of(op.error),
        "attempt": f"{op.attempts}{_of(facts, op)}",
        "when": at(op.due_at, facts.today) if op.due_at else "a later time",
        "version": job.version,
        "saga": job.saga,
        "digest": job.digest,
        "unattended": _nobody_yet(facts, op),
    }
    since, ends_by = (
        (op.ready_at, _gives_up_at(facts, op)) if rule.for_worker else (None, op.due_at)
    )
    words, what, then = (text.format(**said) for text in (rule.sentence, rule.what, rule.next))
    return Wait(rule.shown_as, what, since, ends_by, words, then)


def _lock(facts: Facts, line: InLine) -> Wait:
    job = f"job {line.job}" if line.job else "another job"
    stands = f"held by {job}" if line.held else f"which {job} takes first"
    words = f"waits for the lock {line.key}, {stands}, since {at(line.since, facts.today)}; {line.before} before it"
    nxt = f"{job} ends, and the first job in the queue goes on" if line.held else f"{job} takes it"
    return Wait(WaitingFor.LOCK, f"the lock {line.key}", line.since, line.until, words, nxt)


def _gives_up_at(facts: Facts, op: Operation) -> datetime | None:
    """When it is given up if nobody comes; None where its saga does not say so: then it waits on."""
    return (
        op.claim_deadline_at
        if facts.snapshot.graph.by_name[op.step].limits_of(op.kind).gives_up
        else None
    )


def _nobody_yet(facts: Facts, op: Operation) -> str:
    """That it has waited past its time."""
    late = op.claim_deadline_at is None and op.ready_at is not None
    return (
        f"; it has waited since {at(op.ready_at, facts.today)}, and is not given up"
        if late and op.ready_at
        else ""
    )


def _in_line(facts: Facts, op: Operation) -> Wait:
    """Ready, and it has no owner: say whether anybody could."""
    title, digest = facts.title(op), facts.snapshot.job.digest
    serving = [w for w in facts.workers if op.lane in w.lanes]
    live = [w for w in serving if w.live]
    what = f"a worker of lane {op.lane} to take {title}"
    nxt = f"a worker of lane {op.lane} takes {title}"
    if any(digest in w.digests for w in live):
        again = (
            f" for attempt {op.attempts + 1}{_of(facts, op)}" if op.attempts and op.error else ""
        )
        words = f"waiting for {what}{again}{_nobody_yet(facts, op)}{_last_attempt(op)}"
        return Wait(WaitingFor.WORKER, what, op.ready_at, _gives_up_at(facts, op), words, nxt)
    if live:
        words = f"no live worker of lane {op.lane} has definition {digest} of {facts.snapshot.job.saga}, which {title} needs"
        return Wait(
            WaitingFor.VERSION,
            what,
            op.ready_at,
            _gives_up_at(facts, op),
            words + _nobody_yet(facts, op),
            nxt,
        )
    words = f"{title} waits: no live worker serves lane {op.lane}; "
    if serving:
        last = max(serving, key=lambda w: w.seen_at)
        words += f"last seen {at(last.seen_at, facts.today)} on host {last.host}"
    else:
        words += f"none was ever seen: start one with `surefoot worker --lanes {op.lane}`"
    return Wait(
        WaitingFor.WORKER,
        what,
        op.ready_at,
        _gives_up_at(facts, op),
        words + _nobody_yet(facts, op),
        nxt,
    )
