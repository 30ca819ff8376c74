"""Saga and Step: what a developer writes.

A saga collects its steps as their decorators run; nothing is judged then but what the line itself
gets wrong. The graph is made, and linted as a whole, when it is first asked for; from then on the
saga is sealed, because jobs will be pinned to its digest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Generic, Literal, NamedTuple, ParamSpec, TypeVar

from pydantic import BaseModel

from surefoot.app.errors import DefinitionError
from surefoot.app.rules.states import Kind
from surefoot.app.saga import source_location
from surefoot.app.saga.declaration_args import (
    NAMING,
    Duration,
    choice,
    declaration,
    fatal_types,
    flag,
    plain_function,
    positive,
    positive_or_none,
    retry_or_default,
    said,
    text,
)
from surefoot.app.saga.environments import MakeEnvironment, as_world
from surefoot.app.saga.examples import declared_examples
from surefoot.app.saga.graph import Graph, digest_of
from surefoot.app.saga.graph_builder import KeysOf, assemble
from surefoot.app.saga.inputs import has_secrets, schema_of, secret_values
from surefoot.app.saga.lint import mistakes
from surefoot.app.saga.locking import declared_locks
from surefoot.app.saga.naming import DEAD_LANE, is_name, queue_name, task_name
from surefoot.app.saga.policies import Retry
from surefoot.app.saga.service_functions import ServiceFunctions
from surefoot.app.saga.step import Step
from surefoot.app.saga.step_arguments import UNSET, Unset, check_words
from surefoot.app.saga.words import StepWords, Words, declared_words
from surefoot.app.secrecy import NONE, Secrets

I = TypeVar("I", bound=BaseModel)  # noqa: E741 - the input model
P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])


ON_SLA = ("ask", "redrive", "compensate")


class Task(NamedTuple):
    """One Celery task of a saga: its name, the step's name, the kind, the queue."""

    name: str
    step: str
    kind: str
    queue: str


class Saga(ServiceFunctions, Generic[I]):
    """A named, versioned graph of steps. The package's docstring tells how one is written."""

    name: str
    version: int
    input_model: type[I]
    sla_s: float
    on_sla: str
    examples: tuple[I, ...]
    summary: str
    example_ends: tuple[
        str | None, ...
    ]  # how a job with each of them ends, None where that was not said
    locks: KeysOf | None  # evaluated by a worker, before the first step
    on_locked: str
    lock_wait_s: float
    queue_timeout_s: float | None
    where: str
    steps: dict[str, Step[Any, Any]]  # in the order of declaration
    invariants: list[Callable[..., Any]]  # functions of (world)
    world: MakeEnvironment | None  # makes the world in which it may be drilled

    @declaration
    def __init__(
        self,
        name: str,
        *,
        version: int,
        input: type[I],  # noqa: A002 - reads well where it is written
        sla: Duration = "1h",
        on_sla: Literal["ask", "redrive", "compensate"] = "ask",
        examples: Sequence[I | tuple[I, str]] = (),
        locks: Callable[[I], Sequence[str]] | Callable[[I, str], Sequence[str]] | None = None,
        on_locked: Literal["wait", "fail"] | None = None,
        lock_wait: Duration | None = None,
        queue_timeout: Duration | None = None,
        summary: str = "",
    ) -> None:
        """`input`: a pydantic model, read strictly, extra fields refused.

        `sla`: how long a job may take before it is late.

        `on_sla`: what becomes of a late job: "ask" a person, "redrive" it (fresh attempts for what
        was given up, and what only waits is rung again), or "compensate": it is undone, as long as
        it has not passed the point of no return.
        `examples`: inputs that fit, used by drills and documentation; each alone, or with its end
        when nothing goes wrong: `(Order(...), "completed")`, "failed" (refused) or "cancelled".
        `locks`: a function of the input that names business records, like `lambda o:
        [f"order:{o.order_ref}"]`; no other job of the same tenant (of any, for a key that is
        `Shared(…)`) that names one of them runs at the same time. `on_locked`: "wait" for them in a
        fair queue (the default), for `lock_wait` at most (default 10m), or "fail" at once.
        `queue_timeout`: of every step, undo and confirmation that does not say its own.
        `summary`: a job in one line for people, over fields of the input: `"{quantity} × {sku},
        {amount_cents:cents}"`.
        Raises: DefinitionError naming the line and what to change.
        """
        self.where = source_location.caller()
        if not is_name(name):
            raise DefinitionError(f"{self.where}: a saga cannot be called {name!r}. {NAMING}")
        if isinstance(version, bool) or not isinstance(version, int) or version < 1:
            raise DefinitionError(
                f"{self.where}: saga {name}: version={version!r}. Say a whole number from 1 on."
            )
        if not (isinstance(input, type) and issubclass(input, BaseModel)):
            raise DefinitionError(
                f"{self.where}: saga {name}: input={said(input)}. Say a pydantic model, a class derived from BaseModel."
            )
        self.name, self.version, self.input_model = name, version, input
        self.sla_s = positive(sla, "sla", self.where, f"saga {name}")
        choice(on_sla, ON_SLA, "on_sla", self.where, f"saga {name}")
        self.on_sla = on_sla
        self.examples, self.example_ends = declared_examples(
            examples, input.__name__, self.where, f"saga {name}"
        )
        self.locks, self.on_locked, self.lock_wait_s = declared_locks(
            locks, on_locked, lock_wait, self.where, f"saga {name}"
        )
        self.queue_timeout_s = positive_or_none(
            queue_timeout, "queue_timeout", self.where, f"saga {name}"
        )
        text(summary, "summary", self.where, f"saga {name}")
        self.summary = summary
        self.steps, self.invariants, self.world = {}, [], None
        self.effect_readers, self.effect_listers, self.effect_undoers = {}, {}, {}
        self.effect_steps = {}

    @declaration
    def step(
        self,
        *,
        lane: str,
        after: Sequence[Step[Any, Any] | str] | Step[Any, Any] | str | None = None,
        retry: Retry | None = None,
        timeout: Duration = "60s",
        queue_timeout: Duration | None = None,
        heartbeat_timeout: Duration | None = None,
        pivot: bool = False,
        irreversible: bool = False,
        on_unknown: Literal["retry", "attention"] | None = None,
        on_unknown_undo: Literal["undo", "replay"] = "undo",
        no_effect: bool = False,
        undo: Unset | None = UNSET,
        note: str = "",
        safe_to_drill: bool = False,
        batchable: bool = False,
        title: str = "",
        done: str = "",
        fatal: Sequence[type[BaseException]] = (),
    ) -> Callable[[Callable[P, R]], Step[P, R]]:
        """Declare a step: a function of (ctx, o, *results of its after= steps in that order), or of
        (ctx, o).

        `after`: the steps it waits for. Default: the step declared above it; [] makes it a root.
        `timeout`: limit of one attempt. `queue_timeout`: how long it may wait for a worker before
        it is given up. Default: the saga's; without one, missing workers are reported and the step
        waits.
        `heartbeat_timeout`: how long an attempt may go without ctx.progress, ctx.checkpoint or
        ctx.check. Default: as long as `timeout`.
        `no_effect`: the step leaves nothing to undo. `undo=None`: it has an effect that may stay.
        `irreversible` steps say `on_unknown`: "retry" (at least once) or "attention" (at most once,
        a person is asked).
        `on_unknown_undo`: what the undo of an unknown outcome does first: "undo" at once, or
        "replay" the action under the same key.
        `safe_to_drill`: the step, its undo, probe and confirmation never touch the real world, so a
        drill may run them without a test environment.
        `batchable`: the function takes milliseconds, so batchable members of a fork share messages.
        If one takes long, those behind it leave by a message of their own.
        `title` and `done`: words for people, as "charge the card" and "card charged". Default: the
        step's name.
        `fatal`: exceptions that mean `Failed` when the step raises them: the step is not retried,
        and the job is undone.
        Raises: DefinitionError naming the line and what to change.
        """
        at = source_location.caller()
        local = source_location.locals_of_caller()

        def declare(fn: Callable[P, R]) -> Step[P, R]:
            self.still_open()
            plain_function(fn, f"saga {self.name}: a step")
            name, line = fn.__name__, source_location.where(fn)
            self._check_step(name, line, lane)
            declared = declared_words(line, f"step {name}", title=title, done=done)
            check_words(
                name,
                line,
                note=note,
                on_unknown_undo=on_unknown_undo,
                on_unknown=on_unknown,
                undo=undo,
            )
            flags = {
                "pivot": pivot,
                "irreversible": irreversible,
                "no_effect": no_effect,
                "safe_to_drill": safe_to_drill,
                "batchable": batchable,
            }
            for word, said_so in flags.items():
                flag(said_so, word, line, f"step {name}")
            made = self.steps[name] = Step(
                saga=self,
                name=name,
                fn=fn,
                where=line,
                lane=lane,
                after=self._after(after, name, line),
                retry=retry_or_default(retry, line, name),
                timeout_s=positive(timeout, "timeout", line, name),
                queue_timeout_s=positive_or_none(queue_timeout, "queue_timeout", line, name),
                heartbeat_timeout_s=positive_or_none(
                    heartbeat_timeout, "heartbeat_timeout", line, name
                ),
                pivot=pivot,
                irreversible=irreversible,
                on_unknown=on_unknown,
                on_unknown_undo=on_unknown_undo,
                no_effect=no_effect,
                no_undo=undo is None,
                note=note,
                safe_to_drill=safe_to_drill,
                batchable=batchable,
                local=local,
                words=declared,
                fatal=fatal_types(fatal, line, name),
            )
            return made

        if not isinstance(lane, str):
            raise DefinitionError(
                f"{at}: saga {self.name}: lane={said(lane)}. Say the lane's name, a text."
            )
        return declare

    @declaration
    def invariant(self, fn: F) -> F:
        """Register what must always hold: a function of (world) that returns sentences, none when
        all is well.
        """
        plain_function(fn, f"saga {self.name}: an invariant")
        self.invariants.append(fn)
        return fn

    @declaration
    def test_environment(self, fn: F) -> F:
        """Register what a drill runs this saga in: a generator function (or one that returns a
        context manager), without arguments.

        Up to its `yield` it puts a stand-in in the place of everything that the steps call:
        databases made for the drill, servers of its own, a folder for mails. Workers started
        meanwhile see it by the environment (`os.environ`) alone. What it yields is `world.own` of
        the invariants; if that has a method `outage(service)`, a context manager, the drill also
        takes services away; if it has `settle()`, services beside the drill do then what they have
        to do, before its time passes. After the `yield` it clears up.
        """
        self.world = as_world(
            fn, f"saga {self.name}", source_location.where(self.world) if self.world else None
        )
        return fn

    def __getitem__(self, name: str) -> Step[Any, Any]:
        return self.step_named(name)

    def __contains__(self, name: object) -> bool:
        return name in self.steps

    def __iter__(self) -> Iterator[Step[Any, Any]]:
        return iter(self.steps.values())

    def __repr__(self) -> str:
        return f"<Saga {self.name} {self.version} at {self.where}>"

    @cached_property
    def input_schema(self) -> dict[str, Any]:
        """The input's JSON Schema (2020-12): strict, no extra fields, with the marks of secrets and
        limits.
        """
        return schema_of(self.input_model)

    def secrets_of(self, value: Any) -> Secrets:
        """What nobody may see of an input."""
        return secret_values(self.input_schema, value) if self._has_secrets else NONE

    @cached_property
    def _has_secrets(self) -> bool:
        return has_secrets(self.input_schema)

    @property
    def words(self) -> Words:
        """What its author says for people; no part of the digest."""
        said = {
            step.name: replace(step.words, undone=step.undo.undone if step.undo else "")
            for step in self
        }
        return Words(
            self.summary, {name: words for name, words in said.items() if words != StepWords()}
        )

    @cached_property
    def graph(self) -> Graph:
        """The steps in topological order, stable in the order of declaration. Seals the saga.

        Raises: DefinitionError with a line for each mistake (`details["mistakes"]`: list of them).
        """
        found = mistakes(self)
        if found:
            raise DefinitionError("\n".join(found), mistakes=found)
        return assemble(self)

    @cached_property
    def digest(self) -> str:
        """Sixteen hex digits that name this definition: graph, limits, promises and input."""
        return digest_of(self.graph, self.input_schema)

    def tasks(self) -> Iterator[Task]:
        """Every Celery task of this saga, in topological order of the steps."""
        for node in self.graph.nodes:
            kinds = [
                Kind.ACTION,
                *([Kind.UNDO] if node.compensation else []),
                *([Kind.CONFIRM] if node.confirm else []),
            ]
            for kind in kinds:
                yield Task(
                    task_name(self.name, node.name, kind),
                    node.name,
                    kind,
                    queue_name(node.lane, kind),
                )

    def still_open(self) -> None:
        if "graph" in self.__dict__:
            raise DefinitionError(
                f"{source_location.caller()}: saga {self.name} is in use already, so it cannot change. Declare all of it in one module."
            )

    def _check_step(self, name: str, line: str, lane: str) -> None:
        if not is_name(name):
            raise DefinitionError(f"{line}: a step cannot be called {name!r}. {NAMING}")
        if not is_name(lane):
            raise DefinitionError(
                f"{line}: step {name}: a lane cannot be called {lane!r}. {NAMING}"
            )
        if lane == DEAD_LANE:
            raise DefinitionError(
                f"{line}: step {name}: the lane {lane!r} shows dead letters and has no workers. Name another."
            )
        if name in self.steps:
            first = self.steps[name].where
            remedy = "Rename one of the functions; a decorator keeps the name of its function by @functools.wraps"
            raise DefinitionError(
                f"{line}: saga {self.name} has a step {name} already ({first}). {remedy}."
            )

    def _after(self, after: Any, name: str, line: str) -> tuple[str, ...]:
        if after is None:
            return (next(reversed(self.steps)),) if self.steps else ()
        names = []
        for leader in after if isinstance(after, (list, tuple)) else [after]:
            if isinstance(leader, Step) and leader.saga is not self:
                raise DefinitionError(
                    f"{line}: step {name}: after= holds {leader.name}, a step of saga {leader.saga.name}. Name steps of {self.name}."
                )
            if not isinstance(leader, (str, Step)):
                raise DefinitionError(
                    f"{line}: step {name}: after= holds {said(leader)}, which is not a step. Name steps in a list; [] makes it a root."
                )
            names.append(leader if isinstance(leader, str) else leader.name)
        return tuple(names)
