"""The catalogue: every definition some process has had the code of, with its graph and the closure
of its edges.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import partial
from typing import Protocol

from sqlalchemy import Connection, Engine, insert, or_, select, update

from surefoot.app.clock import ago, now
from surefoot.app.errors import NotFound
from surefoot.app.saga.graph import Graph
from surefoot.app.saga.words import Words
from surefoot.app.store import acts
from surefoot.app.store.acts import Act
from surefoot.app.store.definitions import (
    LIVE,
    LIVE_WORKER_S,
    forget_definition,
    order_of_definitions,
)
from surefoot.app.store.rows.records import VersionRow
from surefoot.app.store.session import insert_or, transaction
from surefoot.app.store.tables import definitions, edges

SERVED_EVERY_S = 10.0  # below LIVE_WORKER_S by more than a heartbeat
d = definitions.c


class Defined(Protocol):
    """What the catalogue asks of a saga."""

    @property
    def graph(self) -> Graph: ...
    @property
    def digest(self) -> str: ...
    @property
    def words(self) -> Words: ...
    @property
    def input_schema(self) -> dict[str, object]: ...


def register(db: Engine, sagas: Iterable[Defined]) -> None:
    """Write the definitions this process has; safe from many processes at once.

    One that is known stays as it is.
    """
    for saga in sagas:
        transaction(db, partial(_register, saga=saga))


def _register(tx: Connection, saga: Defined) -> None:
    _register_one(tx, saga)
    said = {"words": saga.words.to_json(), "input_schema": saga.input_schema}
    query = select(d.words, d.input_schema).where(d.digest == saga.digest)
    # Words change without a new definition; the newest registration's are shown.
    if dict(tx.execute(query).mappings().one()) != said:
        tx.execute(update(definitions).where(d.digest == saga.digest).values(**said))
        forget_definition(saga.digest)


def served(tx: Connection, digests: Collection[str]) -> None:
    """A live worker has these definitions.

    Written once in SERVED_EVERY_S, however many workers say so.
    """
    if digests:
        lately = or_(d.served_at.is_(None), d.served_at < ago(SERVED_EVERY_S))
        tx.execute(
            update(definitions).where(d.digest.in_(sorted(digests)), lately).values(served_at=now())
        )


def withdrawn(tx: Connection, digests: Collection[str]) -> None:
    """The last worker that had these definitions has ended: they count as deployed no longer."""
    if digests:
        tx.execute(
            update(definitions)
            .where(d.digest.in_(sorted(digests)), d.served_at.is_not(None))
            .values(served_at=ago(LIVE_WORKER_S))
        )


def retire(db: Engine, saga: str, which: str, *, actor: str, why: str) -> list[str]:
    """No new job is pinned to this version (all its definitions) or digest; jobs that are stay so.

    Returns the digests.

    Raises: NotFound.
    """
    return transaction(db, lambda tx: _change(tx, saga, which, retired=True, said=(actor, why)))


def bring_back(db: Engine, saga: str, which: str, *, actor: str, why: str) -> list[str]:
    """The opposite of `retire`: who did it and why is kept in the same columns. Raises: NotFound."""
    return transaction(db, lambda tx: _change(tx, saga, which, retired=False, said=(actor, why)))


def _change(
    tx: Connection, saga: str, which: str, *, retired: bool, said: tuple[str, str]
) -> list[str]:
    """`said`: (actor, why)."""
    actor, why = said
    values = {"retired_at": now() if retired else None, "retired_by": actor, "retired_why": why}
    meant = (
        or_(d.digest == which, d.version == int(which))
        if which.isdecimal() and len(which) < 10
        else d.digest == which
    )
    found = list(
        tx.scalars(
            update(definitions).where(d.saga == saga, meant).values(**values).returning(d.digest)
        )
    )
    if not found:
        raise NotFound(
            f"saga {saga!r} has no version or digest {which}: surefoot sagas versions {saga}"
        )
    word, details = (
        "retire" if retired else "bring-back",
        {"which": which, "digests": ", ".join(found)},
    )
    acts.note(tx, actor, Act(word, "saga", saga, reason=why, details=details))
    return found


def versions(connection: Connection, saga: str) -> list[VersionRow]:
    """(digest, version, registered_at, live, retired_at, retired_by, retired_why) of a saga, the
    current one first, retired ones last.
    """
    names = (
        d.digest,
        d.version,
        d.registered_at,
        LIVE.label("live"),
        d.retired_at,
        d.retired_by,
        d.retired_why,
    )
    order = (d.retired_at.is_not(None), *order_of_definitions())
    return list(connection.execute(select(*names).where(d.saga == saga).order_by(*order)))


def _register_one(tx: Connection, saga: Defined) -> None:
    if tx.execute(select(d.digest).where(d.digest == saga.digest)).first() is not None:
        return
    row = {
        "digest": saga.digest,
        "saga": saga.graph.saga,
        "version": saga.graph.version,
        "graph": saga.graph.to_json(),
        "input_schema": saga.input_schema,
    }
    new = (
        insert_or(tx, definitions)
        .values(**row, registered_at=now())
        .on_conflict_do_nothing()
        .returning(d.digest)
    )
    if tx.execute(new).first() is None:
        return  # another process was faster, with the same definition
    graph = saga.graph
    closure = [
        {
            "digest": saga.digest,
            "before": before,
            "after": after,
            "direct": after in graph.followers[before],
        }
        for before, reach in graph.reachable.items()
        for after in reach
    ]
    if closure:
        tx.execute(insert(edges), closure)
