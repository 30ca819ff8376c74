"""Whatever a step raises, and whatever state it leaves its process in, its attempt is recorded at once as what it was."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import select, update

from surefoot.app.config import LONGEST_S
from surefoot.app.engine.worker import execute
from surefoot.app.errors import StoreUnavailable
from surefoot.app.rules.states import OpState
from surefoot.app.saga.context import Context
from surefoot.app.saga.outcomes import NothingSent, NotYet, Rejected, RetryLater
from surefoot.app.store.tables import operations
from surefoot.app.store.views import job_view
from surefoot.app.texts import json_bytes
from tests.support.postgres_server import PostgresServer
from tests.support.world import Participant, World, after_effect, diamond

HALF = b"caf\xe9.pdf".decode("utf-8", "surrogateescape")


class Mute(RuntimeError):
    def __str__(self) -> str:
        raise KeyError("no words")


class NoText(RuntimeError):
    def __str__(self) -> str:
        return 7  # type: ignore[return-value]


class RefusesMute(Rejected):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class OddText(str):
    def replace(self, *_: Any) -> str:  # type: ignore[override]
        raise RuntimeError("mine")


class Odd(RuntimeError):
    def __str__(self) -> str:
        return OddText("odd")


class Touchy(RuntimeError):
    @property
    def nothing_happened(self) -> bool:
        raise RuntimeError("do not ask")

    @property
    def nothing_sent(self) -> bool:
        raise KeyboardInterrupt


class Named(type):
    @property
    def __name__(cls) -> str:
        raise RuntimeError("nobody knows")


class Unnamed(RuntimeError, metaclass=Named):
    pass


class NoBase(BaseException):
    pass


class Late(RetryLater):
    def __init__(self, seconds: float) -> None:
        super().__init__(1)
        self.seconds = seconds


def unfinished() -> RetryLater:
    made = RetryLater.__new__(RetryLater)
    made.args = ("no seconds",)
    return made


GONE = "gone"
TABLE: list[
    tuple[Any, str, str, str]
] = [  # what is raised; state and type on record, and what its message holds
    (RuntimeError("caf\0e"), "waiting", "RuntimeError", r"caf\x00e"),
    (Rejected("no: \0"), "failed", "Rejected", r"no: \x00"),
    (RuntimeError(HALF), "waiting", "RuntimeError", r"caf\udce9.pdf"),
    (Rejected(HALF), "failed", "Rejected", r"caf\udce9.pdf"),
    (RuntimeError("\x1b[2Jgone\u202e"), "waiting", "RuntimeError", r"\x1b[2Jgone\u202e"),
    (RuntimeError("two\nlines 👨‍👩‍👧"), "waiting", "RuntimeError", "two\nlines 👨‍👩‍👧"),
    (Mute(), "waiting", "Mute", "Mute"),
    (NoText(), "waiting", "NoText", "NoText"),
    (RefusesMute("x"), "failed", "RefusesMute", "RefusesMute"),
    (Odd(), "waiting", "Odd", "odd"),
    (Touchy("t"), "waiting", "Touchy", "t"),
    (Unnamed("u"), "waiting", "Unnamed", "u"),
    (type("Käse" * 200, (RuntimeError,), {})("long name"), "waiting", "Käse" * 50, "long name"),
    (GeneratorExit(), "waiting", "GeneratorExit", "GeneratorExit"),
    (SystemExit(3), "waiting", "SystemExit", "3"),
    (NoBase("base"), "waiting", "NoBase", "base"),
    (RecursionError("deep"), "waiting", "RecursionError", "deep"),
    (
        ExceptionGroup("two", [ValueError("a\0"), KeyError("b")]),
        "waiting",
        "ExceptionGroup",
        r"ValueError: a\x00; KeyError: 'b'",
    ),
    (
        BaseExceptionGroup("base", [GeneratorExit()]),
        "waiting",
        "BaseExceptionGroup",
        "GeneratorExit",
    ),
    (NothingSent("\0"), "waiting", "NothingSent", r"\x00"),
    (RuntimeError("x" * 30_000_000), "waiting", "RuntimeError", "x" * 2000),
    (lambda _: NotYet(1e18), "waiting", "ValueError", "too long"),
    (lambda _: NotYet(float("nan")), "waiting", "ValueError", "is not a duration"),
    (lambda _: NotYet(10**400), "waiting", "ValueError", "too long"),
    (Late(1e18), "waiting", "Late", "Try again"),
    (Late(float("nan")), "waiting", "Late", "Try again"),
    (unfinished(), "waiting", "RetryLater", "no seconds"),
]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """One world for the whole table: each row is a job of its own."""
    url = f"sqlite:///{tmp_path_factory.mktemp('shared') / 'surefoot.sqlite'}"
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        url = server.url(server.create_store())
    service = Participant()
    world = World(url, [diamond(service)], service)
    yield world
    assert world.broken(slack_s=3600, bound_s=3600) == {}  # nobody sweeps what waits here
    world.db.dispose()


def attempt_of(world: World, said: Any) -> str:
    """The job whose first step was delivered once, and did this."""
    world.broker.flush()
    world.service.script["first", "action"] = [said]
    job_id = world.submit()
    world.deliver(world.next("diamond.first"))
    return job_id


@pytest.mark.parametrize(
    "number", range(len(TABLE)), ids=[f"{n}-{kind[:20]}" for n, (_, _, kind, _) in enumerate(TABLE)]
)
def test_given_whatever_a_step_raises_when_it_ends_then_it_is_recorded_as_what_it_was(
    shared: World, number: int
) -> None:
    said, state, kind, words = TABLE[number]
    row = shared.operation(attempt_of(shared, said), "first")
    assert (row.state, row.attempts, row.error["type"]) == (state, 1, kind)
    assert words in row.error["message"]
    assert row.unknown_outcomes == (0 if state == "failed" or kind == "NothingSent" else 1)


def test_given_ctrl_c_where_no_worker_runs_it_when_raised_then_recorded_and_it_goes_on_up(
    shared: World,
) -> None:
    with pytest.raises(KeyboardInterrupt):
        attempt_of(shared, KeyboardInterrupt())
    (row,) = rows_of(shared, "KeyboardInterrupt")
    assert (row.state, row.attempts, row.unknown_outcomes) == (OpState.WAITING, 1, 1)


def test_given_a_time_beyond_all_calendars_past_the_saga_language_when_parked_then_the_longest_is_kept(
    shared: World,
) -> None:
    endless = NotYet(1)
    object.__setattr__(endless, "after", LONGEST_S)
    row = shared.operation(attempt_of(shared, endless), "first")
    assert (row.state, row.wait_reason, row.error) == (OpState.WAITING, "not_yet", None)


@pytest.mark.parametrize("broken", ["folder", "streams", "log"])
def test_given_a_process_that_the_step_broke_when_it_fails_then_recorded_all_the_same(
    shared: World, broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Path.cwd()
    if broken == "log":
        structlog.configure(processors=[refuses])

    def break_it(_ctx: Context) -> Any:
        if broken == "folder":
            (tmp_path / GONE).mkdir()
            os.chdir(tmp_path / GONE)
            (tmp_path / GONE).rmdir()
        elif broken == "streams":
            monkeypatch.setattr(sys, "stdout", None)
            monkeypatch.setattr(sys, "stderr", None)
        else:
            monkeypatch.setattr(execute, "came_from", refuses)
        raise Rejected("no")

    try:
        row = shared.operation(attempt_of(shared, break_it), "first")
    finally:
        os.chdir(here)
        monkeypatch.undo()
    assert (row.state, row.attempts, row.error["type"], row.unknown_outcomes) == (
        OpState.FAILED,
        1,
        "Rejected",
        0,
    )


def refuses(*_: Any, **__: Any) -> Any:
    raise OSError("the disk is full")


@pytest.mark.parametrize(
    ("said", "state", "kind"),
    [(Rejected("no"), "failed", "Rejected"), (None, "waiting", "ResultRefused")],
)
def test_given_a_store_that_does_not_take_the_text_when_recorded_then_without_it(
    shared: World, monkeypatch: pytest.MonkeyPatch, said: Any, state: str, kind: str
) -> None:
    real: Callable[..., Any] = execute._record

    def takes_no_more_than_words(*given: Any) -> Any:
        outcome = given[2]
        if (
            not isinstance(outcome, execute.attempts.Failure)
            or "does not take" not in outcome.error["message"]
        ):
            raise UnicodeEncodeError("utf-8", "x", 0, 1, "planted")
        return real(*given)

    monkeypatch.setattr(execute, "_record", takes_no_more_than_words)
    row = shared.operation(attempt_of(shared, said), "first")
    assert (row.state, row.error["type"]) == (state, kind)


def test_given_a_store_that_is_away_when_recorded_then_it_is_held_and_no_words_are_lost(
    shared: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, away = execute._record, [StoreUnavailable(), StoreUnavailable()]

    def comes_back(*given: Any) -> Any:
        if away:
            raise away.pop()
        return real(*given)

    monkeypatch.setattr(execute, "_record", comes_back)
    row = shared.operation(attempt_of(shared, after_effect(Rejected("kept"))), "first")
    assert row.error == {"type": "Rejected", "message": "kept"}


ODD_MESSAGES: list[tuple[Any, str]] = [
    ("caf\0e", r"caf\x00e"),
    (HALF, r"caf\udce9.pdf"),
    (ValueError("an object"), "an object"),
    (Mute(), ""),
    (None, "None"),
    ("x" * 5_000_000, "x" * 500),
]


@pytest.mark.parametrize("number", range(len(ODD_MESSAGES)))
def test_given_any_message_when_progress_is_told_then_the_step_goes_on(
    shared: World, number: int
) -> None:
    message, shown = ODD_MESSAGES[number]

    def tell(ctx: Context) -> str:
        ctx.progress("half", message)  # type: ignore[arg-type]
        return "done"

    row = shared.operation(attempt_of(shared, tell), "first")
    assert (row.state, row.result, row.progress) == (
        OpState.COMPLETED,
        "done",
        {"fraction": 0.0, "message": shown},
    )


def test_given_a_checkpoint_that_is_too_large_when_kept_then_one_sentence_says_so(
    shared: World,
) -> None:
    row = shared.operation(attempt_of(shared, lambda ctx: ctx.checkpoint("ж" * 40_000)), "first")
    assert row.error == {
        "type": "ValueError",
        "message": "the checkpoint has 80002 bytes; at most 65536 are kept (SUREFOOT_CHECKPOINT_BYTES)",
    }


@pytest.mark.parametrize(
    ("result", "state"), [("字" * 21_000, "completed"), ("字" * 22_000, "failed")]
)
def test_given_a_result_of_many_bytes_when_measured_then_utf8_counts(
    shared: World, result: str, state: str
) -> None:
    assert shared.operation(attempt_of(shared, lambda _: result), "first").state == state


def rows_of(world: World, kind: str) -> list[Any]:
    with world.db.connect() as connection:
        rows = connection.execute(select(operations)).all()
    return [row for row in rows if row.error and row.error.get("type") == kind]


def test_given_half_a_surrogate_on_record_when_the_job_is_asked_for_then_it_is_shown(
    shared: World,
) -> None:
    """An older release kept it; SQLite takes it as an escape."""
    if shared.db.dialect.name != "sqlite":
        return  # PostgreSQL takes no half of a pair
    job_id = attempt_of(shared, RuntimeError("x"))
    with shared.db.begin() as tx:
        tx.execute(
            update(operations)
            .where(operations.c.job_id == job_id)
            .values(error={"type": "E", "message": HALF})
        )
    shown = json_bytes(job_view(shared.db, job_id, None))
    assert "caf\ufffd.pdf".encode() in shown
