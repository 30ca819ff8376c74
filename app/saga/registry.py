"""Name and digest -> saga: what this process can run."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any

from surefoot.app.errors import DefinitionError, SurefootError
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.source_location import raised_in

GROUP = "surefoot.sagas"


class Registry:
    """The sagas of this process, linted.

    Several versions of one name may live side by side: jobs are pinned to digests.
    """

    def __init__(self, sagas: Iterable[Saga[Any]] = ()) -> None:
        """Raises: DefinitionError when a saga has a mistake, or two are the same name and version."""
        self._by_digest: dict[tuple[str, str], Saga[Any]] = {}
        self._versions: dict[tuple[str, int], Saga[Any]] = {}
        self._newest: dict[str, Saga[Any]] = {}
        for saga in sagas:
            self._add(saga)

    @classmethod
    def load(cls, modules: Sequence[str]) -> Registry:
        """Every saga at the top level of these modules and of the installed entry points.

        Args: `modules`, import names, as SUREFOOT_SAGAS lists them. A saga that several modules
        name counts once.
        Raises: DefinitionError when a module cannot be imported or has none, or as the constructor
        does.
        """
        sagas: list[Saga[Any]] = []
        for name in modules:
            sagas += _sagas_in(_imported(name), f"module {name} (SUREFOOT_SAGAS)")
        for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
            what = f"entry point {point.name} = {point.value} ({GROUP})"
            try:
                loaded = point.load()
            except SurefootError:
                raise
            except Exception as error:
                raise DefinitionError(
                    f"{what} cannot be loaded: {_why(error, point.module)}"
                ) from error
            sagas += _sagas_in(loaded, what)
        return cls(sagas)

    def get(self, name: str) -> Saga[Any] | None:
        """The saga of this name, its highest version; None when there is none."""
        return self._newest.get(name)

    def by_digest(self, name: str, digest: str) -> Saga[Any] | None:
        """The saga of this name with exactly this definition; None when this process cannot run it."""
        return self._by_digest.get((name, digest))

    def all(self) -> tuple[Saga[Any], ...]:
        """Every saga, by name, then version."""
        return tuple(self._versions[key] for key in sorted(self._versions))

    def _add(self, saga: Saga[Any]) -> None:
        known = self._versions.get((saga.name, saga.version))
        if known is saga:
            return
        if known is not None:
            raise DefinitionError(
                f"{saga.where}: saga {saga.name} version {saga.version} is defined twice, first at {known.where}. "
                "Rename one, or give it another version."
            )
        self._by_digest[saga.name, saga.digest] = saga
        self._versions[saga.name, saga.version] = saga
        newest = self._newest.get(saga.name)
        if newest is None or newest.version < saga.version:
            self._newest[saga.name] = saga


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except SurefootError:  # says itself what to change
        raise
    except Exception as error:  # a developer's code
        raise DefinitionError(
            f"SUREFOOT_SAGAS names module {name!r}, which cannot be imported: {_why(error, name)}"
        ) from error


def _why(error: Exception, module: str) -> str:
    """The line of the developer's package that an import failed at, if it came so far, and how."""
    at = raised_in(error, module.partition(".")[0])
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    kind = "" if isinstance(error, ImportError) else f"{type(error).__name__}: "
    return f"{at}: {kind}{said}" if at else f"{kind}{said}"


def _sagas_in(loaded: Any, what: str) -> list[Saga[Any]]:
    values = vars(loaded).values() if isinstance(loaded, ModuleType) else [loaded]
    found = [value for value in values if isinstance(value, Saga)]
    if not found:
        raise DefinitionError(f"{what} has no Saga at its top level. Write name = Saga(...) there.")
    return found
