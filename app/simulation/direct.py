"""SQLAlchemy's statements on one connection of SQLite, without what a pool and a cursor of its own
cost each of them.

A schedule runs some hundred small statements. To check out a connection, begin, build values and a
result, and check in again took three quarters of its time. Here SQLAlchemy compiles each statement
once; from then on the values go straight to the driver, through the same converters of types.
SQLAlchemy itself runs what is new or out of the ordinary (several rows with RETURNING), on the same
connection.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType, TracebackType
from typing import Any, NoReturn
from weakref import WeakKeyDictionary

from sqlalchemy import Engine
from sqlalchemy.engine import CursorResult, Row
from sqlalchemy.exc import DBAPIError, MultipleResultsFound, NoResultFound
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import BindParameter

from surefoot.app.store.session import MODE, READING, SINGLE
from surefoot.app.store.tables import Id

Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None


class Answer:
    """The rows of a statement, all fetched. `rowcount`: how many it changed."""

    __slots__ = ("_items", "rowcount")

    def __init__(self, items: list[Any], rowcount: int) -> None:
        self._items, self.rowcount = items, rowcount

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)

    def all(self) -> list[Any]:
        return self._items

    def first(self) -> Any:
        return self._items[0] if self._items else None

    def one(self) -> Any:
        if len(self._items) != 1:
            self._not_one()
        return self._items[0]

    def one_or_none(self) -> Any:
        return self.one() if self._items else None

    def scalar(self) -> Any:
        return self._items[0][0] if self._items else None

    def scalar_one(self) -> Any:
        return self.one()[0]

    def scalar_one_or_none(self) -> Any:
        return self.one()[0] if self._items else None

    def scalars(self) -> Answer:
        return Answer([row[0] for row in self._items], self.rowcount)

    def mappings(self) -> Answer:
        return Answer([row._mapping for row in self._items], self.rowcount)

    def _not_one(self) -> NoReturn:
        if self._items:
            raise MultipleResultsFound("Multiple rows were found when exactly one was required")
        raise NoResultFound("No row was found when one was required")


class Prepared:
    """One compiled statement for one set of parameter names, ready to run.

    `usable`: whether it can be run directly.
    """

    def __init__(self, result: CursorResult[Any], names: Sequence[str], many: bool) -> None:
        compiled = result.context.compiled
        assert isinstance(compiled, SQLCompiler)
        self._compiled, self._many = compiled, many
        self._metadata: Any = result._metadata if result.returns_rows else None
        self._converters = _remembering(compiled, self._metadata) if result.returns_rows else None
        self._lists = {compiled.bind_names[bind] for bind in compiled.post_compile_params}
        self._forms: dict[tuple[int, ...], Form] = {}
        self.usable = _is_plain(compiled, many and bool(self._lists or self._metadata))
        if self.usable:
            sources = _sources(compiled, names)
            self._given = [(name, key) for name, (key, _, _) in sources.items() if key is not None]
            self._places = [(n, at) for n, (_, at, _) in sources.items() if at is not None]
            self._fixed = {
                n: value for n, (key, at, value) in sources.items() if key is None and at is None
            }
            self._form = Form(compiled.string, _converted(compiled, compiled.positiontup or ()))

    def run(self, raw: sqlite3.Connection, bound: Sequence[Any], rows: Sequence[Any]) -> Answer:
        """`bound`: the values that the statement itself holds; `rows`: a mapping of parameters for
        each execution.
        """
        fixed = self._fixed
        if self._places:
            fixed = fixed | {name: bound[at].value for name, at in self._places}
        if self._many:
            sql = self._form.sql
            cursor = raw.executemany(sql, [self._form.values(self._named(fixed, r)) for r in rows])
            return Answer([], cursor.rowcount)
        values = self._named(fixed, rows[0])
        form = self._expanded(values) if self._lists else self._form
        cursor = raw.execute(form.sql, form.values(values))
        if self._metadata is None:
            return Answer([], cursor.rowcount)
        kept, converters = self._metadata, self._converters
        places = kept._key_to_index
        found: list[Any] = [Row(kept, converters, places, row) for row in cursor.fetchall()]
        return Answer(found, cursor.rowcount)

    def _named(self, fixed: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
        if not self._given:
            return fixed
        return fixed | {name: given[key] for name, key in self._given}

    def _expanded(self, values: dict[str, Any]) -> Form:
        """The form for lists of these lengths: one `?` for each of their values."""
        lengths = tuple([len(values[name]) for name in self._lists])
        if lengths not in self._forms:
            state = self._compiled._process_parameters_for_postcompile(dict(values))
            origin = {
                single: (name, number)
                for name, singles in state.parameter_expansion.items()
                for number, single in enumerate(singles)
            }
            self._forms[lengths] = Form(
                state.statement, _converted(self._compiled, state.positiontup or (), origin)
            )
        return self._forms[lengths]


class Form:
    """A statement's text, and for each of its `?` the name of the value, its place in a list, and
    its converter.
    """

    __slots__ = ("_has_lists", "_marks", "sql")

    def __init__(self, sql: str, marks: list[tuple[str, int | None, Any]]) -> None:
        self.sql, self._marks = sql, marks
        self._has_lists = any(number is not None for _, number, _ in marks)

    def values(self, named: Mapping[str, Any]) -> list[Any]:
        if not self._has_lists:
            return [
                named[name] if convert is None else convert(named[name])
                for name, _, convert in self._marks
            ]
        found: list[Any] = []
        for name, number, convert in self._marks:
            value = named[name]
            if number is not None:
                value = value[number]
            found.append(value if convert is None else convert(value))
        return found


def _converted(
    compiled: SQLCompiler,
    names: Sequence[str],
    origin: Mapping[str, tuple[str, int]] = MappingProxyType({}),
) -> list[tuple[str, int | None, Any]]:
    converters: Mapping[str, Any] = compiled._bind_processors
    whence = [origin.get(name, (name, None)) for name in names]
    return [(name, number, converters.get(name)) for name, number in whence]


def _remembering(compiled: SQLCompiler, metadata: Any) -> Any:
    """The converters of a row's values. The one of ids, which come again and again, remembers them."""
    converters = metadata._effective_processors
    if not converters:
        return converters
    of_ids = Id._cached_result_processor(compiled.dialect, None)
    return [_id_as_text if converter is of_ids else converter for converter in converters]


@lru_cache(maxsize=4096)
def _id_as_text(kept: str | None) -> str | None:
    return kept and f"{kept[:8]}-{kept[8:12]}-{kept[12:16]}-{kept[16:20]}-{kept[20:]}"


def _is_plain(compiled: SQLCompiler, rows_of_many: bool) -> bool:
    columns = [*compiled.insert_prefetch, *compiled.update_prefetch]
    return not (
        rows_of_many
        or compiled.literal_execute_params
        or compiled.implicit_returning
        or compiled.update_prefetch
        or any(bind.callable or bind.type._is_tuple_type for bind in compiled.bind_names)
        or any(column.default is None or not column.default.is_scalar for column in columns)
    )


def _sources(
    compiled: SQLCompiler, names: Sequence[str]
) -> dict[str, tuple[str | None, int | None, Any]]:
    """For the name of each value: the parameter that gives it, or its place in the cache key, or
    else itself.
    """
    places: dict[BindParameter[Any], int] = {}
    if compiled.cache_key is not None and compiled._cache_key_bind_match is not None:
        matches = compiled._cache_key_bind_match[0]
        for number, original in enumerate(compiled.cache_key.bindparams):
            places |= dict.fromkeys(matches[original], number)
    known = set(names)
    found: dict[str, tuple[str | None, int | None, Any]] = {}
    for bind, name in compiled.bind_names.items():
        key = bind.key if bind.key in known else name if name in known else None
        found[name] = (key, places.get(bind) if key is None else None, bind.value)
    for column in compiled.insert_prefetch:
        default: Any = column.default
        found[compiled._within_exec_param_key_getter(column)] = (None, None, default.arg)
    return found


class Connection:
    """What the engine and the services here take for SQLAlchemy's connection."""

    def __init__(self, engine: DirectEngine, *, begun: bool) -> None:
        self.engine, self.dialect = engine, engine.dialect
        self._raw, self._begun, self._mode = engine.raw, begun, ""

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        """What was not committed is gone."""
        self.rollback()

    def execution_options(self, **options: Any) -> Connection:
        self._mode = options.get(MODE, self._mode)
        return self

    def execute(self, statement: Any, parameters: Parameters = None) -> Any:
        if self._mode == READING:  # nobody else writes meanwhile, so it needs no transaction
            assert not statement.is_dml, f"what only reads has written: {statement}"
        elif not self._begun and self._mode != SINGLE:
            self._begun = True
            self._raw.execute("BEGIN IMMEDIATE")
        return self.engine.run(statement, parameters)

    def scalars(self, statement: Any, parameters: Parameters = None) -> Any:
        return self.execute(statement, parameters).scalars()

    def scalar(self, statement: Any, parameters: Parameters = None) -> Any:
        return self.execute(statement, parameters).scalar()

    def commit(self) -> None:
        self._end("COMMIT")

    def rollback(self) -> None:
        self._end("ROLLBACK")

    def _end(self, how: str) -> None:
        if self._begun:
            self._begun = False
            if self._raw.in_transaction:
                self._raw.execute(how)


class _Transaction:
    """`with engine.begin()`: committed, or rolled back when something is raised."""

    __slots__ = ("_connection", "_engine")

    def __init__(self, engine: DirectEngine) -> None:
        self._engine = engine

    def __enter__(self) -> Connection:
        self._engine.raw.execute("BEGIN IMMEDIATE")
        self._connection = Connection(self._engine, begun=True)
        return self._connection

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        if kind is None:
            self._connection.commit()
        else:
            self._connection.rollback()


class DirectEngine:
    """Stands in the place of an engine whose pool is one connection; what is not here is that
    engine's own.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine, self.dialect = engine, engine.dialect
        self._own = engine.connect().execution_options(**{MODE: SINGLE})  # begins no transaction
        self.raw: sqlite3.Connection = self._own.connection.dbapi_connection  # type: ignore[assignment]
        self._options: dict[str, Any] = {}
        self._prepared: dict[Any, Prepared] = {}
        self._known: WeakKeyDictionary[Any, dict[Any, Prepared]] = WeakKeyDictionary()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    @property
    def engine(self) -> DirectEngine:
        return self

    def execution_options(self, **options: Any) -> DirectEngine:
        """The same engine, over the same connection, with these options."""
        other = object.__new__(DirectEngine)
        other.__dict__.update(self.__dict__, _options={**self._options, **options})
        return other

    def get_execution_options(self) -> Mapping[str, Any]:
        return self._options

    def begin(self) -> _Transaction:
        return _Transaction(self)

    def connect(self) -> Connection:
        return Connection(self, begun=False)

    # --- how --------------------------------------------------------------------------------------
    def run(self, statement: Any, parameters: Parameters) -> Any:
        """The answer to a statement. Raises: sqlalchemy.exc.DBAPIError."""
        rows, many = _rows(parameters)
        names = tuple(rows[0])
        prepared, bound = self._of(statement, names, many)
        if prepared is None or not prepared.usable:
            return self._by_sqlalchemy(statement, parameters, names, many)
        try:
            return prepared.run(self.raw, bound, rows)
        except sqlite3.Error as error:
            raise _wrapped(error, statement, parameters) from error

    def _of(
        self, statement: Any, names: tuple[str, ...], many: bool
    ) -> tuple[Prepared | None, Sequence[Any]]:
        """What was made ready of it, and the values that it holds itself."""
        seen = "_generate_cache_key" in statement.__dict__  # SQLAlchemy keeps it once it was asked
        key = statement._generate_cache_key()
        if not _has_form(statement, key):
            return None, ()
        if not seen:
            return self._prepared.get((key.key, names, many)), key.bindparams
        mine = self._known.get(statement)
        if mine is None:
            mine = self._known[statement] = {}
        prepared = mine.get((names, many))
        if prepared is None:
            prepared = self._prepared.get((key.key, names, many))
            if prepared is not None:
                mine[names, many] = prepared
        return prepared, key.bindparams

    def _by_sqlalchemy(
        self, statement: Any, parameters: Parameters, names: tuple[str, ...], many: bool
    ) -> Answer:
        result = self._own.execute(statement, parameters)
        key = statement._generate_cache_key()
        if _has_form(statement, key) and (key.key, names, many) not in self._prepared:
            self._prepared[key.key, names, many] = Prepared(result, names, many)
        if not result.returns_rows:
            return Answer([], result.rowcount)
        return Answer(list(result.all()), -1)


def _has_form(statement: Any, key: Any) -> bool:
    """Whether this statement can be prepared: its text is the same for other values, and nothing
    special is asked.
    """
    return key is not None and not key.params and not statement._execution_options


def _rows(parameters: Parameters) -> tuple[Sequence[Mapping[str, Any]], bool]:
    if not parameters:
        return ({},), False
    if isinstance(parameters, (dict, Mapping)):
        return (parameters,), False
    return parameters, len(parameters) > 1


def _wrapped(error: sqlite3.Error, statement: Any, parameters: Parameters) -> BaseException:
    return DBAPIError.instance(str(statement), parameters, error, sqlite3.Error)
