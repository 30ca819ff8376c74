"""The shapes of the answers, for the document. Views are dicts, made where they are read; a test holds real answers against these.

Extra members are forbidden, so that one that is added to a view and not here is found by that test.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from app.rules.states import JobState

T = TypeVar("T")
StepState = Literal["not_started", "pending", "queued", "running", "waiting", "completed", "skipped", "failed", "stopped"]
Fidelity = Literal["exact", "equivalent", "partial", "notice"]
Id = Annotated[str, Field(json_schema_extra={"format": "uuid"})]
Path = Annotated[str, Field(description="A path on this server.")]
Cursor = Annotated[str | None, Field(description="For `cursor` of the next request; null at the end.")]


class Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


# --- jobs --------------------------------------------------------------------------------------------------------
class Progress(Shape):
    fraction: float = Field(ge=0, le=1, description="How far it is in its direction, forward or back.")
    message: str


class JobLinks(Shape):
    self: Path
    why: Path
    history: Path
    effects: Path
    cancel: Path


class Attention(Shape):
    since: datetime | None
    owner: str | None = Field(description="Who has taken it on.")
    owned_at: datetime | None


class JobInList(Shape):
    """A job as lists show it."""

    id: Id
    name: str = Field(description="A name for people, such as `order-7K3F`; not unique for ever.")
    saga: str
    version: int
    state: JobState
    outcome: Literal["open", "done", "undone", "undone_partly"]
    left_over: list[str] = Field(description="Steps of which something is left although they were to be undone.")
    reason: str | None = Field(description="One sentence: why it turned, or what is wrong.")
    retry_of: Id | None = Field(description="The ended job that this one runs again.")
    progress: Progress
    error: dict[str, Any] | None = Field(description="`step`, `kind`, `type` and `message` of what made it turn or stop.")
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
    state: StepState
    attempts: int
    lane: str
    started_at: datetime | None
    finished_at: datetime | None
    error: dict[str, Any] | None
    compensation: Compensation | None = Field(description="How it is undone; null when it is not.")
    items: Items | None


class Queue(Shape):
    position: int = Field(ge=1, le=1001, description="Its place among what is ready in its lane; 1001 stands for any beyond.")
    eta_seconds: float | None


LetterAction = Literal["redrive", "discard", "mark-done", "waive", "mark-absent"]


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
    needs_person: bool = Field(description="It holds the job in `attention`; else the job lands, or has landed, by itself.")
    actions: list[LetterAction] = Field(description="What an operator can do about it now.")
    created_at: datetime
    links: OwnLink


class Job(JobInList):
    """A job. Its input is never shown."""

    steps: list[Step]
    result: Any = Field(description="The last step's result; of several last steps, each by its step's name. Null unless completed.")
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
    step: str | None = Field(default=None, description="With the kind `person`: the step that a decision is about.")
    letter: Id | None = Field(default=None, description="With the kind `person`: the dead letter that asks for it.")
    owner: str | None = Field(default=None, description="With the kind `person`: who has taken the job on.")


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
    detail: dict[str, Any] | None


class History(Shape):
    items: list[Event]
    next: Cursor


# --- effects -----------------------------------------------------------------------------------------------------
class Undo(Shape):
    state: Literal["not_needed", "pending", "done", "refused", "waived"]
    attempts: int
    note: str


class Effect(Shape):
    step: str
    item: str
    key: str = Field(description="The idempotency key under which the service knows it.")
    outcome: Literal["none", "done", "unknown"]
    fidelity: Fidelity | Literal["irreversible"] | None
    undo: Undo


class EffectSummary(Shape):
    done: int
    unknown: int
    undone: dict[str, int] = Field(description="How many were undone, by fidelity.")
    pending: int
    left_over: int
    sentence: str


class Effects(Shape):
    items: list[Effect]
    summary: EffectSummary


# --- dead letters --------------------------------------------------------------------------------------------------
FIRST_LETTERS = 20  # that the answer to a redrive of many names


class LetterLinks(Shape):
    self: Path
    job: Path
    why: Path
    history: Path
    effects: Path


class Dated(Shape):
    at: datetime
    by: str
    why: str


class Letter(Shape):
    """An operation that was given up."""

    id: Id
    job: Id
    name: str = Field(description="The job's name for people.")
    saga: str
    step: str
    item: str
    kind: Literal["action", "undo", "confirm"]
    why: str = Field(
        description="`exhausted`, `queue_timeout` (nobody came), `stalled`, `unknown_outcome`, `lock_timeout`, `late_undo`, `late`, …"
    )
    error: dict[str, Any] | None
    attempts: int
    needs_person: bool = Field(description="It holds its job in `attention`; else the job lands, or has landed, by itself.")
    state: Literal["open", "closed"]
    actions: list[LetterAction] = Field(description="What can be done about it now.")
    redrive: Dated | None = Field(description="When it is sent back by itself, in whose name and why.")
    created_at: datetime
    closed_at: datetime | None
    resolution: str | None
    resolved_by: str | None
    resolved_why: str | None
    retried_as: Id | None = Field(description="The new job that runs the ended one again.")
    payload: Path = Field(description="The job whose input the operation was given. Inputs are never shown.")
    links: LetterLinks


class LetterList(Shape):
    items: list[Letter]
    next: Cursor


class EndedAttempt(Shape):
    at: datetime
    attempt: int | None
    fence: int | None
    event: str
    error: dict[str, Any] | None


class WholeLetter(Letter):
    history: list[EndedAttempt] = Field(description="How its last 100 attempts ended, oldest first.")


class DecidedLetter(WholeLetter):
    """A letter, and what became of the request."""

    message: str


class Redriven(Shape):
    letters: int = Field(description="How many are sent back.")
    takes_seconds: float = Field(description="Until the last of them leaves.")
    dry_run: bool
    more: bool = Field(description="There are more than one request sends back: ask again when these are through.")
    first: list[Id] = Field(description=f"The first {FIRST_LETTERS}.")


class HeldBack(Shape):
    held_back: int


class FindingLinks(Shape):
    job: Path | None


class Finding(Shape):
    """What reconciliation found."""

    id: Id
    at: datetime
    job: Id | None = Field(description="None where the job does not exist, or a service could not be asked.")
    name: str | None
    saga: str
    step: str
    item: str
    service: str = Field(description="Empty for a late job.")
    key: str = Field(description="Of the effect; of a late job its id.")
    finding: Literal["late", "missing_there", "missing_here", "different", "orphan", "unaskable"]
    action: str = Field(description="What was done: `asked` (a person), `redriven`, `rung`, `compensated`, `attention`.")
    detail: dict[str, Any] | None
    actor: str
    closed_at: datetime | None
    closed_by: str | None
    closed_why: str | None
    links: FindingLinks


class FindingList(Shape):
    items: list[Finding]
    next: Cursor


class Reconciling(Shape):
    message: str
    findings: Path


# --- sagas and workers -------------------------------------------------------------------------------------------
class SagaLinks(Shape):
    self: Path


class SagaInList(Shape):
    name: str
    version: int
    digest: str
    sla_seconds: float | None
    steps: list[str]
    links: SagaLinks


class SagaStep(Shape):
    name: str
    lane: str
    after: list[str]
    pivot: bool
    irreversible: bool
    attempts: int
    timeout_seconds: float
    queue_timeout_seconds: float = Field(description="How long it waits for a worker before it counts as given up.")
    stall_timeout_seconds: float | None = Field(description="How long an attempt may go without a sign of progress.")
    note: str


class SagaGraph(Shape):
    steps: list[SagaStep]
    edges: list[tuple[str, str]]


class HowUndone(Shape):
    step: str
    undo: str | None
    fidelity: Fidelity | Literal["irreversible"] | None
    note: str
    lane: str | None
    why: str | None = Field(description="When there is no undo: why not.")


class LockPolicy(Shape):
    on_locked: Literal["wait", "fail"]
    wait_seconds: float


class Saga(SagaInList):
    """A saga's current version."""

    input: dict[str, Any] = Field(description="JSON Schema (2020-12) of a job's input.")
    graph: SagaGraph
    compensations: list[HowUndone]
    locks: LockPolicy | None = Field(description="What its jobs do about business records that another job has to itself.")
    on_sla: Literal["ask", "redrive", "compensate"] = Field(description="What becomes of a job that takes longer than `sla_seconds`.")


class Listed(Shape, Generic[T]):
    items: list[T]


class SagaList(Listed[SagaInList]):
    pass


class Worker(Shape):
    id: str
    host: str
    pid: int
    concurrency: int
    lanes: list[str]
    definitions: list[str] = Field(description="Digests of the definitions it has the code of.")
    live: bool
    started_at: datetime
    seen_at: datetime


class WorkerList(Listed[Worker]):
    lanes: dict[str, int] = Field(description="Live workers by lane.")


class LockJob(Shape):
    id: Id
    name: str
    saga: str
    state: str = Field(description="As stored: a job that only waits is `running`.")


class LockWaiter(Shape):
    job: LockJob | None = Field(description="Null when it is another tenant's.")
    since: datetime
    gives_up_at: datetime


class Lock(Shape):
    key: str = Field(description="The name of a business record, such as `order:A-17`.")
    held: bool = Field(description="False for the moment between one job's end and the next one's first step.")
    held_by: LockJob | None = Field(description="Null when it is not held, or by another tenant's job.")
    since: datetime | None
    waiting: int = Field(description="How many wait for it.")
    queue: list[LockWaiter] = Field(description="The first fifty of them, in the order in which they will have it.")


class LockList(Listed[Lock]):
    next: Cursor


class QuarantineLinks(Shape):
    self: Path


class Quarantined(Shape):
    """A message that nobody can run."""

    id: Id
    at: datetime
    reason: str
    queue: str
    size: int | None = Field(description="Bytes of its body, where that is known.")
    discarded_at: datetime | None
    discarded_by: str | None
    discarded_why: str | None
    links: QuarantineLinks


class QuarantineList(Shape):
    items: list[Quarantined]
    next: Cursor


class QuarantinedMessage(Quarantined):
    headers: dict[str, Any]
    body: str = Field(description="Its first 4,096 characters.")


# --- health and problems -----------------------------------------------------------------------------------------
class Alive(Shape):
    status: Literal["alive"]


class Ready(Shape):
    status: Literal["ready"]


class Health(Shape):
    status: Literal["ok", "degraded"]
    store: Literal["ok"]
    broker: Literal["ok", "unreachable"]
    relay: Literal["ok", "absent"]
    workers: int


class Down(Shape):
    status: Literal["down"]
    store: Literal["unreachable"]


class Fault(Shape):
    """One fault of a request; `pointer` (into the body) or `parameter` (of the address) says where."""

    pointer: str | None = Field(default=None, description="JSON Pointer into the body.")
    parameter: str | None = Field(default=None, description="Name of a query parameter.")
    detail: str


class Problem(BaseModel):
    """Problem details (RFC 9457)."""

    type: Path
    title: str
    status: int = Field(ge=400, le=599)
    detail: str
    instance: Path
    trace_id: str = Field(description="Under which our log has it.")
    errors: list[Fault] | None = None
