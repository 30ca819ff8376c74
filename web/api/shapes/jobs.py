"""A job, alone and in lists, why it stands where it stands, and what happened to it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from surefoot.app.rules.states import JobState, KindWord
from surefoot.web.api.shapes.common import Cursor, Fidelity, Id, LetterAction, Path, Shape

StepState = Literal[
    "not_started",
    "pending",
    "queued",
    "running",
    "waiting",
    "completed",
    "skipped",
    "failed",
    "stopped",
]


class Progress(Shape):
    fraction: float = Field(ge=0, le=1, description="How far it is, going forward or back.")
    message: str


class JobLinks(Shape):
    self: Path
    why: Path
    history: Path
    effects: Path
    cancel: Path | None = Field(description="Null when it cannot be cancelled any more.")


class Attention(Shape):
    since: datetime | None
    owner: str | None = Field(description="The operator who has taken it on.")
    owned_at: datetime | None


class JobInList(Shape):
    """A job as lists show it."""

    id: Id
    name: str = Field(
        description="A short name for people, such as `order-7K3F`; not unique for ever."
    )
    summary: str | None = Field(
        description="One line made of its input, without secrets, if its saga declares a summary."
    )
    saga: str
    version: int
    state: JobState
    outcome: Literal["open", "done", "undone", "undone_partly"]
    left_over: list[str] = Field(
        description="Steps that were to be undone but left something behind."
    )
    reason: str | None = Field(description="One sentence: why its undo started.")
    resubmission_of: Id | None = Field(description="The ended job that this one was made from.")
    resubmitted_as: Id | None = Field(
        description="The job made from this one: the one that is open or completed, else the newest."
    )
    actions: list[Literal["cancel", "redrive", "resubmit"]] = Field(
        description="What can be done now. Only operators redrive; a completed job is resubmitted only with `again`."
    )
    trace_id: str | None = Field(
        description="The trace of the request that made it; the log lines of its steps have it too."
    )
    progress: Progress
    error: dict[str, Any] | None = Field(
        description="`step`, `kind`, `type` and `message` of the error that started its undo."
    )
    trouble: dict[str, Any] | None = Field(
        description="The same of the last operation for which a person was asked, such as an undo that failed."
    )
    attention: Attention | None = Field(description="Set while a person is asked.")
    tags: list[str]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    links: JobLinks


class Compensation(Shape):
    state: StepState | Literal["not_needed", "waived"]
    attempts: int
    fidelity: Fidelity
    note: str


class Items(Shape):
    total: int
    completed: int
    failed: int


class Step(Shape):
    name: str
    title: str = Field(description="What it does, in its author's words; else its name.")
    state: StepState
    attempts: int
    lane: str
    started_at: datetime | None
    finished_at: datetime | None
    error: dict[str, Any] | None
    compensation: Compensation | None = Field(description="How it is undone; null if it is not.")
    items: Items | None


class Queue(Shape):
    position: int = Field(
        ge=1,
        le=1001,
        description="Its place among the ready operations of its lane; 1001: beyond 1000.",
    )
    eta_seconds: float | None


class OwnLink(Shape):
    self: Path


class LetterOfJob(Shape):
    """An operation of the job that was given up, and nobody has answered that."""

    id: Id
    step: str
    item: str
    kind: KindWord
    why: str = Field(description="The same words as in a dead letter.")
    error: dict[str, Any] | None
    attempts: int
    needs_person: bool = Field(
        description="It holds the job in `attention`; otherwise the job ends, or has ended, by itself."
    )
    actions: list[LetterAction] = Field(description="What an operator can do about it now.")
    created_at: datetime
    links: OwnLink


class Job(JobInList):
    """A job. Its input is never shown."""

    steps: list[Step]
    result: Any = Field(
        description="The last step's result; with several last steps, their results by name. Null unless completed."
    )
    queue: Queue | None = Field(description="Set while no operation of it has been claimed.")
    dead_letters: list[LetterOfJob] = Field(description="Its open dead letters, newest first.")


class DecidedJob(Job):
    """A job, and what became of the request."""

    message: str


class JobList(Shape):
    items: list[JobInList]
    next: Cursor


class Wait(Shape):
    kind: str
    what: str
    since: datetime | None
    ends_by: datetime | None
    step: str | None = Field(
        default=None, description="With the kind `person`: the step that a decision is about."
    )
    letter: Id | None = Field(
        default=None, description="With the kind `person`: the dead letter that asks for it."
    )
    owner: str | None = Field(
        default=None, description="With the kind `person`: the operator who has taken the job on."
    )


class Next(Shape):
    what: str
    at: datetime | None


class Why(Shape):
    """Why a job stands where it stands, in plain words."""

    state: JobState
    since: datetime | None
    sentence: str
    waiting_for: list[Wait]
    next: Next


class Event(Shape):
    seq: int = Field(ge=1)
    at: datetime
    event: str
    step: str | None
    kind: KindWord | None
    item: str | None
    attempt: int | None
    fence: int | None
    actor: str | None
    key_id: Id | None = Field(
        description="The id of the actor's API key; names of actors are not unique."
    )
    detail: dict[str, Any] | None


class History(Shape):
    items: list[Event]
    next: Cursor
