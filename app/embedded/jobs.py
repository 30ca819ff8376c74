"""The public functions: `surefoot.submit`, `surefoot.job`, `surefoot.cancel`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack

from pydantic import BaseModel

from surefoot.app.access.tenants import DEFAULT, ensure_in
from surefoot.app.embedded import in_transaction
from surefoot.app.embedded.client import Client, actor, client, told_by_name
from surefoot.app.engine.jobs.submit import Submission
from surefoot.app.engine.operators import decisions
from surefoot.app.errors import Conflict
from surefoot.app.rules.states import ENDED
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.naming import did_you_mean
from surefoot.app.store.views import job_view

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.orm import Session, scoped_session

I = TypeVar("I", bound=BaseModel)  # noqa: E741 - the input, as in Saga
LOOK_S, LOOK_MOST_S = 0.05, 1.0  # between two looks of a wait: at first, and at most


class Options(TypedDict, total=False):
    """What may be said of a job besides its saga and input.

    `key`: an idempotency key, 1 to 255 visible characters; asked again with it, it is the same job.
    `tenant`: whose job it is, by name ("default"). `tags`: up to 20 words to find it by.
    `deadline_s`: seconds from now after which it is undone.
    `connection`: a connection or session of SQLAlchemy on the store's database; the job is part of
    its transaction.
    """

    key: str
    tenant: str
    tags: Iterable[str]
    deadline_s: float
    connection: Connection | Session | scoped_session[Session]


@dataclass(frozen=True)
class StepView:
    """A step of a job: its name, its state as the pages show it, how many attempts, and the last
    error.
    """

    name: str
    state: str
    attempts: int
    error: Mapping[str, Any] | None


@dataclass(frozen=True)
class JobView:
    """A job at one moment.

    `state`: pending, running, waiting, attention, completed, failed, cancelled, …

    `outcome`: open, done, undone or undone_partly. `result`: as the API shows it, of a completed
    job.
    `whole`: all that `GET /api/v1/jobs/{id}` shows, as JSON.
    """

    id: str
    name: str
    saga: str
    state: str
    outcome: str
    reason: str | None
    steps: tuple[StepView, ...]
    result: Any
    whole: Mapping[str, Any]

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in ENDED

    def wait(self, timeout_s: float) -> JobView:
        """As `JobRef.wait`."""
        return JobRef(self.id).wait(timeout_s)


@dataclass(frozen=True)
class JobRef:
    """A job that was accepted.

    `replayed`: the idempotency key had its job already, which is this one.
    """

    id: str
    replayed: bool = False

    def read(self) -> JobView:
        """The job now.

        Raises: NotFound, also while the transaction that makes it is open; StoreUnavailable.
        """
        return job(self.id)

    def wait(self, timeout_s: float) -> JobView:
        """The job when it has ended. Raises: TimeoutError after so many seconds; as `read`."""
        until, pause_s = time.monotonic() + timeout_s, LOOK_S
        while not (view := job(self.id)).ended:
            left_s = until - time.monotonic()
            if left_s <= 0:
                raise TimeoutError(f"job {view.name} is {view.state} after {timeout_s:g} s")
            time.sleep(min(pause_s, left_s))
            pause_s = min(2 * pause_s, LOOK_MOST_S)
        return view

    def cancel(self, *, why: str) -> None:
        """As `surefoot.cancel`."""
        cancel(self.id, why=why)


def submit(saga: Saga[I] | str, input: I | Mapping[str, Any], **options: Unpack[Options]) -> JobRef:  # noqa: A002
    """Ask for a job.

    `saga`: the object, or a name where its code is elsewhere; `input`: its model, or the JSON of
    it.

    With `connection=` the job is part of the caller's transaction: rolled back, there was none;
    committed, its messages leave. The caller commits.
    Raises: UnknownSaga, InvalidInput, AboveLimit, KeyReused; TooManyOpenJobs, StoreUnavailable (try
    later); SettingsError without a store; RequestError for a connection that is not to the store's
    database.
    """
    for name in options:
        if name not in Options.__annotations__:
            known = Options.__annotations__
            raise TypeError(f"submit() has no {name}=.{did_you_mean(name, known)}")
    here = client()
    connection = options.get("connection")
    if connection is None:
        here.make_known(saga)
        asked = _submission(here.tenant(options.get("tenant", DEFAULT)), saga, input, options)
        submitted = here.entrance_for(saga).submit(asked)
        here.publish(submitted.plan)
        return JobRef(submitted.job_id, submitted.replayed)
    with in_transaction.joined(here, connection) as tx, told_by_name(saga):
        tenant_id = ensure_in(tx, options.get("tenant", DEFAULT))
        asked = _submission(tenant_id, saga, input, options)
        submitted = here.entrance_for(saga).submit_in(tx, asked)
    in_transaction.publish_after_commit(here, tx, submitted)
    return JobRef(submitted.job_id, submitted.replayed)


def _submission(
    tenant_id: str, saga: Saga[Any] | str, value: BaseModel | Mapping[str, Any], options: Options
) -> Submission:
    return Submission(
        tenant_id,
        saga if isinstance(saga, str) else saga.name,
        value.model_dump(mode="json", by_alias=True)
        if isinstance(value, BaseModel)
        else dict(value),
        actor(),
        key=options.get("key"),
        tags=tuple(dict.fromkeys(options.get("tags", ()))),
        deadline_s=options.get("deadline_s"),
    )


def job(job_id: str) -> JobView:
    """The job of this id, now. Raises: NotFound, StoreUnavailable, SettingsError."""
    return _shown(client(), job_id)


def cancel(job_id: str, *, why: str) -> None:
    """Stop a job and undo what it has done. `why`: for the record, in words.

    Raises: Conflict where it has ended, is being undone already, or is past the point of no return
    (the wish is noted then); NotFound, StoreUnavailable, SettingsError.
    """
    here = client()
    decision = decisions.cancel(here.db, here.settings, job_id, actor(), why)
    here.publish(decision.plan)
    if not decision.applied:
        raise Conflict(decision.message)


def _shown(here: Client, job_id: str) -> JobView:
    whole = job_view(here.db, job_id, None)
    steps = tuple(
        StepView(step["name"], step["state"], step["attempts"], step["error"])
        for step in whole["steps"]
    )
    taken = {
        name: whole[name] for name in ("id", "name", "saga", "state", "outcome", "reason", "result")
    }
    return JobView(**taken, steps=steps, whole=whole)
