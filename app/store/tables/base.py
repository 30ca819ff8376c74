"""What all tables have in common."""

from __future__ import annotations

from sqlalchemy import (
    Index,
    MetaData,
    Table,
    Uuid,
    text,
)

PREFIX = "surefoot_"  # of every table: a team's own schema may have a table `jobs`


def _plain(_: object, table: Table) -> str:
    """A table's name as names of its constraints and indexes have it: they are older than the
    prefix.
    """
    return table.name.removeprefix(PREFIX)


metadata = MetaData(
    naming_convention={
        "plain": _plain,
        "ix": "ix_%(plain)s_%(column_0_N_name)s",
        "uq": "uq_%(plain)s_%(column_0_N_name)s",
        "ck": "ck_%(plain)s_%(constraint_name)s",
        "fk": "fk_%(plain)s_%(column_0_N_name)s",
        "pk": "pk_%(plain)s",
    }
)


Id = Uuid(as_uuid=False)


NOBODY = "0" * 32


def partial(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    """An index of the rows that meet a condition, which both databases spell alike."""
    return Index(
        name, *columns, unique=unique, postgresql_where=text(where), sqlite_where=text(where)
    )
