"""The account of effects beside what services say: each kind of finding, found once, closed when both agree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from sqlalchemy import select, update

from surefoot.app.engine.reconcile import findings, run
from surefoot.app.engine.reconcile.findings import UndoAsked
from surefoot.app.errors import Conflict
from surefoot.app.explain import why
from surefoot.app.participant import EffectReport, EffectState
from surefoot.app.saga.context import Context
from surefoot.app.saga.definition import Saga
from surefoot.app.store import reconciliations
from surefoot.app.store.ids import new_id
from surefoot.app.store.session import reading
from surefoot.app.store.tables import reconciliations as findings_table
from tests.support.world import Participant, World, diamond


class Books:
    """What three services say, in a test's hands: by lane, as the saga's steps are theirs."""

    def __init__(self) -> None:
        self.said: dict[str, EffectState] = {}
        self.questions: list[tuple[str, int]] = []
        self.away: set[str] = set()
        self.most = 1000

    def read(self, service: str, keys: Iterable[str]) -> list[EffectReport]:
        asked = list(keys)
        self.questions.append((service, len(asked)))
        if service in self.away:
            raise ConnectionError("nobody listens")
        return [EffectReport(key, self.said[key]) for key in asked if key in self.said]

    def between(self, first: str, last: str) -> list[EffectReport]:
        if "a" in self.away:
            raise ConnectionError("nobody listens")
        return [
            EffectReport(key, state)
            for key, state in sorted(self.said.items())
            if first < key < last
        ][: self.most]


@pytest.fixture
def books() -> Books:
    return Books()


@pytest.fixture
def world(ready_url: str, books: Books) -> Iterator[World]:
    service = Participant()
    saga: Saga[Any] = diamond(service)
    for lane in ("a", "b", "c"):
        saga.effect_reader(lane)(lambda keys, lane=lane: books.read(lane, keys))
    saga.effect_lister("a")(books.between)
    world = World(ready_url, [saga], service, reconcile_keys=3)
    try:
        yield world
        assert world.broken() == {}
    finally:
        world.db.dispose()


def landed(world: World, books: Books, *, fails: str | None = None) -> str:
    """A job at its end; the services say what is so."""
    from surefoot.app.saga.outcomes import Rejected

    if fails is not None:
        world.service.script[fails, "action"] = [Rejected("no")]
    job = world.submit()
    world.land(job)
    for name, state in world.operations(job).items():
        step, kind = name.split(".")
        if kind == "action" and state == "completed":
            undone = world.operation(job, step, "undo") is not None
            books.said[key(job, step)] = EffectState.UNDONE if undone else EffectState.DONE
    return job


def key(job: str, step: str) -> str:
    return f"{job}:{step}::action"


def look(world: World, **more: Any) -> run.ReconcileResult:
    return run.whole_window(world.db, world.settings, world.registry, "test", run.Scope(**more))


def kept(world: World) -> list[Any]:
    with reading(world.db) as c:
        return list(c.execute(select(findings_table).order_by(findings_table.c.id)))


def test_given_jobs_whose_services_agree_when_looked_at_then_nothing_is_found(
    world: World, books: Books
) -> None:
    landed(world, books)
    landed(world, books, fails="left")
    world.submit()  # under way: passed over
    done = look(world)
    assert (done.looked_at, done.found, kept(world)) == (3, [], [])
    assert max(size for _, size in books.questions) <= world.settings.reconcile_keys
    assert {service for service, _ in books.questions} == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("fails", "step", "says", "finding"),
    [
        (None, "left", None, "missing_there"),
        (None, "left", EffectState.NONE, "missing_there"),
        (None, "left", EffectState.UNDONE, "different"),
        ("left", "first", EffectState.DONE, "different"),
        ("left", "left", EffectState.DONE, "missing_here"),
        ("left", "first", None, None),  # an exact undo may leave nothing to mention
        (None, "left", EffectState.UNKNOWN, None),  # a service that cannot tell
    ],
)
def test_given_a_service_that_says_otherwise_then_found_once_told_and_closed_when_it_agrees_again(
    world: World,
    books: Books,
    fails: str | None,
    step: str,
    says: EffectState | None,
    finding: str | None,
) -> None:
    job = landed(world, books, fails=fails)
    truth = dict(books.said)
    books.said.pop(key(job, step), None)
    if says is not None:
        books.said[key(job, step)] = says

    planned = look(world, dry_run=True)
    assert kept(world) == []
    first, second = look(world), look(world)

    assert (
        [one["finding"] for one in planned.found]
        == [one["finding"] for one in first.found]
        == ([finding] if finding else [])
    )
    assert second.found == []
    if finding is None:
        return
    (row,) = kept(world)
    assert (row.job_id, row.step, row.key, row.action, row.actor) == (
        job,
        step,
        key(job, step),
        "reported",
        "test",
    )
    assert world.events(job).count("reconciliation_finding") == 1
    assert (
        step in why(world.db, job, None)["sentence"].rpartition(": ")[2]
        or step in why(world.db, job, None)["sentence"]
    )

    books.said = truth
    assert look(world, dry_run=True).closed == [row.id]
    assert kept(world)[0].closed_at is None
    assert look(world).closed == [row.id]
    assert kept(world)[0].closed_why == run.AGREED
    assert world.events(job)[-1] == "finding_closed"


def test_given_an_effect_of_a_job_that_does_not_exist_then_an_orphan_until_it_is_gone(
    world: World, books: Books
) -> None:
    landed(world, books)
    stray = key(new_id(), "first")
    books.said |= {
        stray: EffectState.DONE,
        "placed-by-hand:first::action": EffectState.DONE,
        key(new_id(), "commit"): EffectState.UNDONE,
    }
    assert [(one["finding"], one["key"], one["job_id"]) for one in look(world).found] == [
        ("orphan", stray, None)
    ]
    assert look(world).found == []
    assert kept(world)[0].tenant_id == world.tenant
    del books.said[stray]
    assert len(look(world).closed) == 1


def test_given_a_store_that_lost_every_job_when_looked_at_then_the_orphans_are_found_and_each_once(
    world: World, books: Books
) -> None:
    stray = key(new_id(), "first")
    books.said[stray] = EffectState.DONE
    for done in (
        look(world, dry_run=True),
        run.patrol(world.db, world.settings, world.registry, "test"),
        look(world, dry_run=True),
    ):
        assert [(one["finding"], one["key"]) for one in done.found] == [("orphan", stray)]


def test_given_a_list_that_comes_in_parts_when_asked_then_asked_again_until_it_ends(
    world: World, books: Books
) -> None:
    strays = sorted(key(new_id(), "first") for _ in range(5))
    books.said |= dict.fromkeys(strays, EffectState.DONE)
    books.most = 2
    assert sorted(one["key"] for one in look(world).found) == strays


def test_given_a_saga_that_nobody_uses_when_its_service_cannot_be_asked_then_that_is_told_only_where_all_must_answer(
    world: World, books: Books
) -> None:
    books.away = {"a"}
    assert look(world).found == []
    assert [(one["finding"], one["key"]) for one in look(world, thorough=True).found] == [
        ("unaskable", "diamond:a")
    ]


def test_given_a_finding_when_adopted_then_it_is_not_found_again_and_both_histories_say_so(
    world: World, books: Books
) -> None:
    job, other = landed(world, books), landed(world, books)
    stray = key(new_id(), "first")
    books.said |= {stray: EffectState.DONE, key(job, "left"): EffectState.UNDONE}
    look(world)
    by_key = {row.key: row for row in kept(world)}
    assert findings.adopt(world.db, by_key[stray].id, "cli:ada", "made anew", other)
    assert findings.adopt(world.db, by_key[key(job, "left")].id, "cli:ada", "given away")
    assert not findings.adopt(world.db, by_key[stray].id, "cli:bob", "again")
    assert (look(world).found, look(world, dry_run=True).found) == ([], [])
    row = {row.key: row for row in kept(world)}[stray]
    assert (row.action, row.closed_by, row.closed_why, row.detail["accounted_by"]) == (
        "adopted",
        "cli:ada",
        "made anew",
        other,
    )
    assert "effect_adopted" in world.events(other)
    assert world.events(job)[-1] == "finding_closed"


def test_given_an_effect_that_stands_though_its_job_is_undone_when_undone_then_by_the_key_of_its_undo(
    world: World, books: Books
) -> None:
    job = landed(world, books, fails="left")
    books.said[key(job, "first")] = EffectState.DONE
    look(world)
    (row,) = kept(world)
    with pytest.raises(Conflict, match="registers nothing that undoes"):
        findings.undo(world.db, world.registry, row.id, UndoAsked("cli:ada", "left over"))

    def take_back(ctx: Context, report: EffectReport) -> None:
        assert (ctx.key, ctx.action_key, report.state) == (
            f"{job}:first::undo",
            key(job, "first"),
            EffectState.DONE,
        )
        books.said[report.key] = EffectState.UNDONE

    world.registry.get("diamond").undo_effect("a")(take_back)
    assert (
        findings.undo(world.db, world.registry, row.id, UndoAsked("cli:ada", "left over")) is None
    )
    (row,) = kept(world)
    assert (row.action, row.closed_by, row.closed_why) == ("undone", "cli:ada", "left over")
    with pytest.raises(Conflict, match="closed already"):
        findings.undo(world.db, world.registry, row.id, UndoAsked("cli:ada", "once more"))
    assert look(world).found == []


def test_given_a_service_that_cannot_be_asked_then_that_is_the_finding_and_the_others_are_compared(
    world: World, books: Books
) -> None:
    job = landed(world, books)
    del books.said[key(job, "left")]
    del books.said[key(job, "right")]
    books.away = {"b"}
    found = {(one["finding"], one["key"]): one["detail"] for one in look(world).found}
    assert set(found) == {("unaskable", "diamond:b"), ("missing_there", key(job, "right"))}
    assert found["unaskable", "diamond:b"] == {"error": "ConnectionError: nobody listens"}
    books.away = set()
    done = look(world)
    assert [one["key"] for one in done.found] == [key(job, "left")]
    assert len(done.closed) == 1, "it can be asked again"


def test_given_a_finding_when_its_service_is_away_then_it_stays_open(
    world: World, books: Books
) -> None:
    job = landed(world, books)
    del books.said[key(job, "left")]
    look(world)
    books.away = {"b"}
    assert look(world).closed == []


def test_given_a_finding_when_a_person_closes_it_then_by_whom_and_why_and_only_once(
    world: World, books: Books
) -> None:
    job = landed(world, books)
    del books.said[key(job, "left")]
    look(world)
    (row,) = kept(world)
    assert findings.close(world.db, row.id, "cli:ada", "found on paper")
    assert not findings.close(world.db, row.id, "cli:bob", "again")
    (row,) = kept(world)
    assert (row.closed_by, row.closed_why) == ("cli:ada", "found on paper")


def test_given_a_patrol_when_it_comes_again_then_it_goes_on_where_it_stopped(
    ready_url: str, books: Books
) -> None:
    service = Participant()
    saga: Saga[Any] = diamond(service)
    saga.effect_reader("b")(lambda keys: books.read("b", keys))
    world = World(ready_url, [saga], service, reconcile_rows=2)
    try:
        jobs = [landed(world, books) for _ in range(3)]
        books.said.clear()
        found = [
            [
                one["job_id"]
                for one in run.patrol(world.db, world.settings, world.registry, "test").found
            ]
            for _ in range(3)
        ]
        assert [sorted(set(group)) for group in found] == [sorted(jobs[:2]), [jobs[2]], []]
    finally:
        world.db.dispose()


def test_given_an_account_that_changes_while_the_service_is_asked_then_nothing_is_claimed(
    world: World, books: Books
) -> None:
    job = landed(world, books)
    del books.said[key(job, "left")]
    read = books.read

    def meanwhile(service: str, keys: Iterable[str]) -> list[EffectReport]:
        from surefoot.app.store.tables import operations

        with world.db.begin() as tx:
            tx.execute(
                update(operations)
                .where(operations.c.job_id == job, operations.c.step == "left")
                .values(fidelity="partial")
            )
        return read(service, keys)

    books.read = meanwhile  # type: ignore[method-assign]
    assert look(world).found == []
    assert len(look(world).found) == 1


def test_given_a_round_that_is_due_when_two_begin_it_then_one_has_it(world: World) -> None:
    world.let_pass(301)
    with world.db.begin() as tx:
        got = [reconciliations.begin(tx, "effects", 300.0) for _ in range(2)]
    assert got == ["", None]
