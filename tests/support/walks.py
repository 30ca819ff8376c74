"""Walks over every route there is: each yields what is wrong, as (endpoint, sentence).

They are apart from their tests, so that a planted mistake can be walked, too: a walk that finds nothing proves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import select

from surefoot.app.access.principal import Role
from surefoot.app.access.tenants import DEFAULT
from surefoot.app.store.session import reading
from surefoot.app.store.tables import dead_letters, jobs, quarantine, reconciliations, sessions
from surefoot.app.store.views.names import short_name
from tests.support.house import OWNER, Asker, Call, House

SIGN_IN = "/sign-in"
SAFE = ("GET", "HEAD", "OPTIONS")
Fault = tuple[str, str]
Chosen = Callable[[Call], bool]


def everything(_: Call) -> bool:
    return True


# --- who may do what -------------------------------------------------------------------------------------------------
def of_roles(house: House, chosen: Chosen = everything) -> Iterator[Fault]:
    """Every route, asked by everybody who could ask: not as the route says of itself. One a route."""
    for call in filter(chosen, house.calls()):
        for asker in house.askers:
            if call.method not in SAFE:
                house.restore()
            fault = wrong(house, call, asker, house.send(call, asker))
            if fault:
                yield call.endpoint, fault
                break


def wrong(house: House, call: Call, asker: Asker, answer: Any) -> str:
    """What is wrong with this answer, if anything is, by what the route says of itself."""
    status, said = answer.status_code, f"{call} by {asker.name}: {answer.status_code}"
    if status >= 500:
        return said
    if house.is_open(call):
        return (
            said if status in (401, 403, 404) and not call.endpoint.startswith("sign_in.") else ""
        )
    if asker.role is None:
        to_sign_in = (
            status == 303 and answer.headers["Location"].startswith(SIGN_IN) and asker.key is None
        )
        return "" if status == 401 or to_sign_in else said
    if not _may(asker, house, call):
        return "" if status == 403 else said
    if asker.is_platform:
        return said if status in (401, 403) else ""
    if call.owned and asker.tenant != OWNER:
        return "" if status == 404 or _is_own_session(call, answer) else said
    return said if status in (401, 403, 404) else ""


def _may(asker: Asker, house: House, call: Call) -> bool:
    order = list(type(house.role(call)))
    return asker.role is not None and order.index(asker.role) >= order.index(house.role(call))


def _is_own_session(call: Call, answer: Any) -> bool:
    """A session that is not one's own is told like one that is over: nothing is found out, nothing ends."""
    return "session" in call.rule.arguments and "said=over" in answer.headers.get("Location", "")


# --- two tenants -----------------------------------------------------------------------------------------------------
def strangers(house: House) -> list[Asker]:
    return [
        asker
        for asker in house.askers
        if asker.tenant and asker.tenant != OWNER and not asker.is_platform
    ]


def of_names(house: House, chosen: Chosen = everything) -> Iterator[Fault]:
    """What another tenant has, asked for by its address: not told as what nobody has, or changed."""
    calls = zip(house.calls(), house.calls(strange=True), strict=True)
    for one, other in calls:
        if not (one.owned and chosen(one)):
            continue
        for asker in strangers(house):
            house.restore()
            before = standing(house)
            said = told(house, one, asker)
            if standing(house) != before:
                yield one.endpoint, f"{one} by {asker.name} changed what is {OWNER}'s"
                break
            if said != told(house, other, asker):
                yield one.endpoint, f"{one} by {asker.name} is told that there is something"
                break


def of_answers(house: House, chosen: Chosen = everything) -> Iterator[Fault]:
    """Every route, asked by a stranger for what nobody has: something of the owner is read, or changed."""
    secret = [
        *house.words.values(),
        *house.jobs.values(),
        *house.letters.values(),
        house.session,
        house.session_token,
        house.message,
        house.finding,
    ]
    secret += [short_name("shop", job) for job in house.jobs.values()]
    for asker in strangers(house):
        for call in filter(chosen, house.calls(strange=True)):
            house.restore()
            before = standing(house)
            answer = house.send(call, asker)
            text = answer.get_data(as_text=True) + str(answer.headers)
            read = [word for word in secret if word in text]
            if read:
                yield call.endpoint, f"{call} by {asker.name} tells {read}"
            if standing(house) != before:
                yield call.endpoint, f"{call} by {asker.name} changed what is {OWNER}'s"


def plain(text: str, names: dict[str, str]) -> str:
    """An answer without what differs by itself: the id that was asked for, the trace."""
    for value in names.values():
        text = text.replace(value, "ASKED")
    return re.sub(r"[0-9a-f]{32}", "TRACE", text)


def told(house: House, call: Call, asker: Asker) -> tuple[int, str, str]:
    answer = house.send(call, asker)
    head = "\n".join(
        f"{name}: {value}" for name, value in answer.headers if name not in ("X-Trace-Id", "Date")
    )
    body = answer.get_data(as_text=True)
    return answer.status_code, plain(head, call.names), plain(body, call.names)


def standing(house: House) -> list[Any]:
    """Alpha's jobs, letters, findings, messages and sessions, as the store has them."""
    j, d, f, q, s = jobs.c, dead_letters.c, reconciliations.c, quarantine.c, sessions.c
    tenant = house.shop.tenant
    asked = (
        select(j.id, j.rev, j.state, j.owner, j.cancel_requested).where(j.tenant_id == tenant),
        select(d.id, d.state, d.redrive_at, d.resolved_by).where(d.tenant_id == tenant),
        select(f.id, f.action, f.closed_at).where(f.tenant_id == tenant),
        select(q.id, q.discarded_at).where(q.tenant_id == tenant),
        select(s.id, s.ended_at).where(s.id == house.session),
    )
    with reading(house.shop.db) as connection:
        return [sorted(map(tuple, connection.execute(query))) for query in asked]


# --- changes from another site's page ----------------------------------------------------------------------------------
HOST = "localhost"
FOREIGN: list[dict[str, str]] = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": f"http://{HOST}"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "Same-Origin-Not"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": f"http://{HOST}:9999"},
    {"Origin": f"http://{HOST}.evil.example"},
    {"Origin": f"http://evil.example/{HOST}"},
    {"Origin": f"http://{HOST}@evil.example"},
    {"Origin": f"http://evil.example@{HOST}:1"},
    {"Origin": f"HTTP://{HOST.upper()}"},
    {"Origin": ""},
]


def of_origins(house: House, chosen: Chosen = everything) -> Iterator[Fault]:
    """Every change, sent by another site's page in a browser that is signed in: not refused, or
    something has changed."""
    nobody = house.asker("nobody")
    for call in filter(chosen, house.calls()):
        if call.method in SAFE:
            continue
        house.restore()
        before = standing(house)
        browser = signed_in(house, call)
        for headers in FOREIGN:
            answer = house.send(call, nobody, browser, **headers)
            if answer.status_code != 403 or "Set-Cookie" in answer.headers:
                yield call.endpoint, f"{call} from {headers}: {answer.status_code}"
                break
        else:
            if standing(house) != before:
                yield call.endpoint, f"{call} has changed something"
            if browser.get("/api/v1/jobs").status_code != 200:
                yield call.endpoint, f"{call} has ended the session"


def signed_in(house: House, call: Call) -> Any:
    """A browser of somebody who may do this."""
    is_platforms = not house.is_open(call) and house.role(call) == Role.PLATFORM
    who = f"platform of {DEFAULT}" if is_platforms else f"admin of {OWNER}"
    browser = house.app.test_client()
    entered = browser.post(SIGN_IN, data={"key": house.asker(who).key})
    assert entered.status_code == 303
    return browser
