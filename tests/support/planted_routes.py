"""Mistakes of the kinds that the walks over every route are there to find: a guard is taken out, and the
walk is asked where it is missing.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import wraps
from importlib import import_module
from pkgutil import iter_modules
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

from flask import request

from surefoot.app.access import keys, sessions
from surefoot.app.access.principal import Principal, Role
from surefoot.app.store import dead_letters, job_reads, reconciliations
from surefoot.app.store.acts import Asked
from surefoot.app.store.dead_letters import DeadLetterFilter
from surefoot.app.store.views import Polls
from surefoot.app.store.views import quarantine as quarantine_views
from surefoot.web import api, pages
from surefoot.web.api import auth
from surefoot.web.api.problems import Problem
from surefoot.web.pages import sign_in
from tests.support import walks
from tests.support.house import Call, House
from tests.support.walks import SAFE, Chosen, Fault, everything

Expected = Callable[[House, Call], bool]


@dataclass(frozen=True)
class Planted:
    """`made`: the mistake, while it is entered. `walk`: what has to find it, over the calls that are `chosen`;
    `expected`: where it must be found, at every such endpoint (`all`) or at one.
    """

    name: str
    made: Callable[[House], Any]
    walk: Callable[[House, Chosen], Iterator[Fault]]
    expected: Expected
    chosen: Chosen = everything
    all: bool = True


PLANTED: list[Planted] = []


def planted(
    walk: Callable[[House, Chosen], Iterator[Fault]],
    expected: Expected,
    *,
    chosen: Chosen = everything,
    all: bool = True,  # noqa: A002 - of the endpoints
) -> Callable[[Callable[[House], Iterator[None]]], None]:
    """Put the mistake into the list, under its name in words."""

    def put(make: Callable[[House], Iterator[None]]) -> None:
        name = make.__name__.replace("_", " ")
        PLANTED.append(Planted(name, contextmanager(make), walk, expected, chosen, all))

    return put


def changes(_: House, call: Call) -> bool:
    return call.method not in SAFE


def closed(house: House, call: Call) -> bool:
    return not house.is_open(call)


# --- who may do what -------------------------------------------------------------------------------------------------
@planted(walks.of_roles, lambda house, call: closed(house, call) and house.role(call) != Role.USER)
def every_key_may_do_everything(house: House) -> Iterator[None]:
    with mock.patch.object(Principal, "need", return_value=None):
        yield


@planted(walks.of_roles, closed, chosen=lambda call: call.method == "GET")
def a_key_that_was_revoked_is_good(house: House) -> Iterator[None]:
    k = keys.api_keys.c
    everybody = keys.select(k.id, k.tenant_id, k.role, k.platform, k.name, k.hash)
    with mock.patch.object(keys, "_principals", return_value=everybody):
        yield


@planted(walks.of_roles, closed, chosen=lambda call: call.method == "GET")
def a_request_without_a_key_is_taken_for_an_admins(house: House) -> Iterator[None]:
    real, admin = auth._who, keys.find(house.shop.db, house.asker("admin of alpha").key or "")
    with mock.patch.object(auth, "_who", side_effect=lambda: real() or admin):
        yield


# --- two tenants -----------------------------------------------------------------------------------------------------
def owned(_: House, call: Call) -> bool:
    return call.owned and "session" not in call.rule.arguments


def owned_change(house: House, call: Call) -> bool:
    return owned(house, call) and changes(house, call)


@contextmanager
def seen_as_the_owner(house: House, where: Any) -> Iterator[None]:
    """What this module of the web reads by a tenant, it reads as the owner's."""
    with ExitStack() as stack:
        for name, reader in readers(where).items():
            stack.enter_context(mock.patch.object(where, name, _as_owner(house, reader)))
        for cls in (Asked, DeadLetterFilter):
            if hasattr(where, cls.__name__):
                stack.enter_context(mock.patch.object(where, cls.__name__, _as_owner(house, cls)))
        stack.enter_context(mock.patch.object(Polls, "look", _as_owner(house, Polls.look)))
        yield


def readers(where: Any) -> dict[str, Any]:
    """The functions that this module has of the store's views, and that are told a tenant."""
    return {
        name: found
        for name, found in vars(where).items()
        if inspect.isfunction(found) and "tenant_id" in inspect.signature(found).parameters
    }


def _as_owner(house: House, reader: Any) -> Any:
    told = inspect.signature(reader)

    @wraps(reader, updated=())
    def read(*args: Any, **kwargs: Any) -> Any:
        bound = told.bind(*args, **kwargs)
        bound.arguments["tenant_id"] = house.shop.tenant
        return reader(*bound.args, **bound.kwargs)

    return read


def modules() -> list[Any]:
    """The modules of the web that answer requests and read by a tenant."""
    names = [
        f"{package.__name__}.{one.name}"
        for package in (api, pages)
        for one in iter_modules(package.__path__)
    ]
    return [one for one in map(import_module, names) if hasattr(one, "routes") and _by_tenant(one)]


def _by_tenant(where: Any) -> bool:
    return bool(readers(where)) or any(
        hasattr(where, cls.__name__) for cls in (Asked, DeadLetterFilter)
    )


def _of(where: Any) -> Chosen:
    return lambda call: call.endpoint.partition(".")[0] == where.routes.name


def _tells(house: House, chosen: Chosen) -> Iterator[Fault]:
    yield from walks.of_names(house, chosen)
    yield from walks.of_answers(house, chosen)


ACT_ONLY = {
    "attention"
}  # the act asks again whose it is: `an act asks nobody` takes both guards out
for _where in modules():
    if _where.routes.name in ACT_ONLY:
        continue
    PLANTED.append(
        Planted(
            f"{_where.__name__.partition('.')[2]} reads as the owner",
            lambda house, where=_where: seen_as_the_owner(house, where),
            _tells,
            lambda _house, call: call.method == "GET",
            _of(_where),
            all=False,
        )
    )


@planted(walks.of_names, owned_change)
def an_act_asks_nobody_whose_it_is(house: House) -> Iterator[None]:
    with ExitStack() as stack:
        for where in modules():
            stack.enter_context(seen_as_the_owner(house, where))
        for store in (dead_letters, job_reads, reconciliations):
            if hasattr(store, "own"):
                stack.enter_context(mock.patch.object(store, "own", return_value=[]))
        stack.enter_context(mock.patch.object(quarantine_views, "_of", return_value=[]))
        yield


@planted(walks.of_names, lambda _house, call: "session" in call.rule.arguments)
def a_session_is_ended_whosever_it_is(house: House) -> Iterator[None]:
    real = sessions._end

    def whichever(tx: Any, actor: str, *which: Any) -> int:
        return real(tx, actor, *(guard for guard in which if "key_id" not in str(guard)))

    with mock.patch.object(sessions, "_end", whichever):
        yield


# --- changes from another site's page ----------------------------------------------------------------------------------
@planted(walks.of_origins, lambda house, call: changes(house, call) and closed(house, call))
def a_change_by_a_cookie_is_heard_wherever_it_comes_from(house: House) -> Iterator[None]:
    with mock.patch.object(auth, "check_origin", return_value=None):
        yield


def _signs(call: Call) -> bool:
    return call.endpoint.startswith("sign_in.")


@planted(walks.of_origins, changes, chosen=_signs)
def a_sign_in_is_heard_wherever_it_comes_from(house: House) -> Iterator[None]:
    with mock.patch.object(sign_in, "check_origin", return_value=None):
        yield


def _checked_by(fits: Callable[[str | None, str | None], bool]) -> Any:
    """A check of the origin that is too weak. `fits`: of Sec-Fetch-Site and Origin."""

    def check() -> None:
        if request.method not in SAFE and not fits(
            request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
        ):
            raise Problem("cross-origin", "This change came from another site's page.")

    return mock.patch.object(auth, "check_origin", check)


def _here(origin: str | None) -> bool:
    return origin is None or urlsplit(origin).netloc == request.host


def _one_act(call: Call) -> bool:
    return call.endpoint == "job.cancel"


WEAK: dict[str, Callable[[str | None, str | None], bool]] = {
    "only where browsers say the site is the change refused": lambda site, origin: (
        site in (None, "same-origin", "none")
    ),
    "only the origin is looked at": lambda site, origin: _here(origin) or origin == "null",
    "a neighbour of our site is let in": lambda site, origin: (
        site == "same-site" or (site in (None, "same-origin") and _here(origin))
    ),
    "an origin that begins as ours is ours": lambda site, origin: (
        site in (None, "same-origin")
        and (origin or "http://localhost").startswith("http://localhost")
    ),
    "an origin that ends as ours is ours": lambda site, origin: (
        site in (None, "same-origin") and (origin or "localhost").endswith("localhost")
    ),
    "the letters of an origin are compared as small ones": lambda site, origin: (
        site in (None, "same-origin") and _here((origin or "").lower() or None)
    ),
}
for _name, _fits in WEAK.items():
    PLANTED.append(
        Planted(
            _name,
            lambda _house, fits=_fits: _checked_by(fits),
            walks.of_origins,
            changes,
            _one_act,
        )
    )
