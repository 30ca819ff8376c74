"""Named leases: duties that one process at a time has.

A lease lapses unless it is renewed. Its fence grows with every grant, so a holder that slept
through its lease is told apart from the one that came after it: renewal and release name the fence.
"""

from __future__ import annotations

from sqlalchemy import Connection, Engine, select, update

from surefoot.app.clock import after, now
from surefoot.app.store.session import insert_or, transaction
from surefoot.app.store.tables import leases

c = leases.c


def acquire(db: Engine, name: str, holder: str, ttl_s: float) -> int | None:
    """Take a lease that is free or has lapsed.

    Returns its fence; None while somebody else holds it.
    """

    def work(tx: Connection) -> int | None:
        taken: int | None = tx.execute(
            update(leases)
            .where(c.name == name, c.expires_at <= now())
            .values(holder=holder, fence=c.fence + 1, expires_at=after(ttl_s))
            .returning(c.fence)
        ).scalar_one_or_none()
        if (
            taken is not None
            or tx.execute(select(c.name).where(c.name == name)).first() is not None
        ):
            return taken
        first = insert_or(tx, leases).values(
            name=name, holder=holder, fence=1, expires_at=after(ttl_s)
        )
        return tx.execute(
            first.on_conflict_do_nothing().returning(c.fence)
        ).scalar_one_or_none()  # two may come at once

    return transaction(db, work)


def renew(db: Engine, name: str, fence: int, ttl_s: float) -> bool:
    """Move the expiry forward; the fence stays.

    False: it lapsed and somebody else has it, or it was released.
    """
    return transaction(
        db,
        lambda tx: (
            tx.execute(
                update(leases)
                .where(c.name == name, c.fence == fence)
                .values(expires_at=after(ttl_s))
            ).rowcount
            == 1
        ),
    )


def release(db: Engine, name: str, fence: int) -> bool:
    """Give it up at once, so that a standby need not wait.

    The row stays: its fence must go on growing.
    """
    return transaction(
        db,
        lambda tx: (
            tx.execute(
                update(leases).where(c.name == name, c.fence == fence).values(expires_at=now())
            ).rowcount
            == 1
        ),
    )
