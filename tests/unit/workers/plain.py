"""A Celery app for tests of the workers' own pieces: our settings, consumer, request and tasks, but files for a store.

`rules.json` under PLAIN_HOME says what a step does: {"step": {"sleep": seconds, "verdict": …, "join": step, "of": [steps that meet
there], "raises": …, "stop": bool}}. Every step notes its start and end in `log`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any, cast

from celery import Celery

from surefoot.app.engine.runtime import Runtime
from surefoot.app.engine.worker.delivery import Delivery, DeliveryOutcome, ExecutionResult
from surefoot.app.engine.worker.loop import Loop
from surefoot.app.rules.planner import Message
from surefoot.app.store.ids import operation_id
from surefoot.workers.drain import Drain
from surefoot.workers.lanes import queues
from surefoot.workers.tasks import UNKNOWN_TASK, StepTask
from tests.support.processes import append_line

STEPS = tuple("abcdefghijkl")


def home() -> Path:
    return Path(os.environ["PLAIN_HOME"])


def note(line: str) -> None:
    """One line, written whole, by however many processes."""
    append_line(home() / "log", line)


def mark(name: str) -> bool:
    """Make an empty file; False when it is there already. The store's conditional write, in small."""
    try:
        os.close(os.open(home() / name, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


class PlainTask(StepTask):
    abstract = True

    def loop(self) -> Loop:
        return PlainLoop(cast(Runtime, None))


class PlainLoop(Loop):
    """The loop of a worker, in which a file of rules answers for the engine."""

    def mark_unsent(self, operation_ids: Collection[str]) -> None:
        note(f"unsent {sorted(operation_ids)}")

    def carry_out(self, delivery: Delivery) -> ExecutionResult:
        rules = home() / "rules.json"
        rule: dict[str, Any] = (
            json.loads(rules.read_text()).get(delivery.step, {}) if rules.exists() else {}
        )
        note(f"start {delivery.step} {delivery.job_id} {os.getpid()}")
        time.sleep(rule.get("sleep", 0))
        note(f"end {delivery.step} {delivery.job_id} {os.getpid()}")
        if raises := rule.get("raises"):
            raise {"memory": MemoryError, "exit": SystemExit, "error": RuntimeError}[raises](
                "as told"
            )
        verdict = DeliveryOutcome(rule.get("verdict", "completed"))
        released = (
            _released(rule, delivery) if verdict == DeliveryOutcome.COMPLETED else frozenset()
        )
        return ExecutionResult(verdict, released, rule.get("stop", False), rule.get("error"))


def _released(rule: dict[str, Any], delivery: Delivery) -> frozenset[str]:
    """The join that this completion makes ready: the last of its members says so, once."""
    if "join" not in rule:
        return frozenset()
    mark(f"{delivery.job_id}.{delivery.step}")
    if not all((home() / f"{delivery.job_id}.{step}").exists() for step in rule["of"]):
        return frozenset()
    if not mark(f"{delivery.job_id}.{rule['join']}.released"):
        return frozenset()
    return frozenset((operation_id(delivery.job_id, rule["join"], "", "action"),))


def message(job_id: str, step: str, queue: str = "lane") -> Message:
    return Message(operation_id(job_id, step, "", "action"), f"plain.{step}", queue, job_id)


def make() -> Celery:
    app = Celery("plain", fixups=[])
    app.config_from_object("surefoot.celeryconfig")
    app.conf.update(task_queues=queues(os.environ.get("PLAIN_LANES", "lane").split(",")))
    for step in STEPS:
        app.register_task(type(f"plain_{step}", (PlainTask,), {"name": f"plain.{step}"})())
    app.register_task(type("unknown", (PlainTask,), {"name": UNKNOWN_TASK})())
    if "PLAIN_DRAIN" in os.environ:
        app.steps["worker"].add(Drain)
    return app


plain_app = make()
