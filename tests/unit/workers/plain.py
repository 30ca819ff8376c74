"""A Celery app for tests of the workers' own pieces: our settings, consumer, request and tasks, but a file for a store.

What a task does is told by its job's file under PLAIN_HOME: `carry_out` appends a line to `log` and then does as `rules.json`
says, {"step": {"sleep": s, "verdict": v, "released": [operation ids]}}.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from celery import Celery

from app.engine.perform import Delivery, Performed, Verdict
from app.rules.planner import Message
from app.store.ids import operation_id
from workers.drain import Drain
from workers.lanes import queues
from workers.tasks import UNKNOWN_TASK, StepTask

STEPS = tuple("abcdefghijkl")


def home() -> Path:
    return Path(os.environ["PLAIN_HOME"])


def note(line: str) -> None:
    """One line, written whole, by however many processes."""
    fd = os.open(home() / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(fd, (line + "\n").encode())
    finally:
        os.close(fd)


class PlainTask(StepTask):
    abstract = True

    def carry_out(self, delivery: Delivery) -> Performed:
        rules = home() / "rules.json"
        rule: dict[str, Any] = json.loads(rules.read_text()).get(delivery.step, {}) if rules.exists() else {}
        note(f"start {delivery.step} {delivery.job_id} {os.getpid()}")
        time.sleep(rule.get("sleep", 0))
        note(f"end {delivery.step} {delivery.job_id} {os.getpid()}")
        if raises := rule.get("raises"):
            raise {"memory": MemoryError, "exit": SystemExit, "error": RuntimeError}[raises]("as told")
        released = frozenset(operation_id(delivery.job_id, step, "", "action") for step in rule.get("released", ()))
        return Performed(Verdict(rule.get("verdict", "completed")), released, rule.get("stop", False), rule.get("error"))


def message(job_id: str, step: str, lane: str = "lane") -> Message:
    return Message(operation_id(job_id, step, "", "action"), f"plain.{step}", lane, job_id)


def make() -> Celery:
    app = Celery("plain", fixups=[])
    app.config_from_object("celeryconfig")
    lanes = os.environ.get("PLAIN_LANES", "lane").split(",")
    app.conf.update(task_queues=queues(lanes), worker_proc_alive_timeout=60)
    if overrides := os.environ.get("PLAIN_CONF"):
        app.conf.update(json.loads(overrides))
    for step in STEPS:
        app.register_task(type(f"plain_{step}", (PlainTask,), {"name": f"plain.{step}"})())
    app.register_task(type("unknown", (PlainTask,), {"name": UNKNOWN_TASK})())
    if "PLAIN_DRAIN" in os.environ:
        app.steps["worker"].add(Drain)
    return app


plain_app = make()

