"""A job, alone and in lists, why it stands where it stands, and what happened to it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from surefoot.app.rules.states import JobState
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
    fraction: float = Field(
        ge=0, le=1, description="How far it is in its direction, forward or back."
    )
    message: str


class JobLinks(Shape):
    self: Path
    why: Path
    history: Path
    effects: Path
    cancel: Path | None = Field(description="Null when it cannot be cancelled any more.")


class Attention(Shape):
    since: datetime | None
    owner: str | None = Field(description="Who has taken it on.")
    owned_at: datetime | None


class JobInList(Shape):
    """A job as lists show it."""

    id: Id
    name: str = Field(description="A name for people, such as `order-7K3F`; not unique for ever.")
    summary: str | None = Field(
        description="One line from its input, without secrets, where its saga has words for it."
    )
    saga: str
    version: int
    state: JobState
    outcome: Literal["open", "done", "undone", "undone_partly"]
    left_over: list[str] = Field(
        description="Steps of which something is left although they were to be undone."
    )
    reason: str | None = Field(description="One sentence: why it turned.")
    retry_of: Id | None = Field(description="The ended job that this one runs again.")
    retried_as: Id | None = Field(
        description="The job that runs this one again: the one that is open or completed, else the newest."
    )
    actions: list[Literal["cancel", "redrive"]] = Field(
        description="What can be done now. In `attention` operators alone redrive; a completed job is run again only with `again`."
    )
    trace_id: str | None = Field(
        description="Of the request that it came from: log lines of its steps have it too."
    )
    progress: Progress
    error: dict[str, Any] | None = Field(
        description="`step`, `kind`, `type` and `message` of what made it turn. It stays that."
    )
    trouble: dict[str, Any] | None = Field(
        description="The same of the last operation for which a person was asked, such as an undo that failed; never why the job turned."
    )
    attention: Attention | None = Field(description="While a person is asked.")
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
    title: str = Field(description="What it does, in its author's words; its name without any.")
    state: StepState
    attempts: int
    lane: str
    started_at: datetime | None
    finished_at: datetime | None
    error: dict[str, Any] | None
    compensation: Compensation | None = Field(description="How it is undone; null when it is not.")
    items: Items | None


class Queue(Shape):
    position: int = Field(
        ge=1,
        le=1001,
        description="Its place among what is ready in its lane; 1001 stands for any beyond.",
    )
    eta_seconds: float | None


class OwnLink(Shape):
    self: Path


class LetterOfJob(Shape):
    """An operation of the job that was given up, and nobody has answered that."""

    id: Id
    step: str
    item: str
    kind: Literal["action", "undo", "confirm"]
    why: str = Field(description="As in a dead letter.")
    error: dict[str, Any] | None
    attempts: int
    needs_person: bool = Field(
        description="It holds the job in `attention`; else the job lands, or has landed, by itself."
    )
    actions: list[LetterAction] = Field(description="What an operator can do about it now.")
    created_at: datetime
    links: OwnLink


class Job(JobInList):
    """A job. Its input is never shown."""

    steps: list[Step]
    result: Any = Field(
        description="The last step's result; of several last steps, each by its step's name. Null unless completed."
    )
    queue: Queue | None = Field(description="While nobody has taken anything of it.")
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
        default=None, description="With the kind `person`: who has taken the job on."
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
    kind: Literal["action", "undo", "confirm"] | None
    item: str | None
    attempt: int | None
    fence: int | None
    actor: str | None
    key_id: Id | None = Field(description="Of the actor's API key; names are free, and not unique.")
    detail: dict[str, Any] | None


class History(Shape):
    items: list[Event]
    next: Cursor
