"""Who gets what by which route: every route there is, asked by everybody who could ask."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from surefoot.app.store.session import reading
from surefoot.app.store.tables import dead_letters, jobs
from surefoot.app.store.views.names import short_name
from tests.support.house import OWNED, OWNER, STRANGER, Asker, Call, House

SIGN_IN = "/sign-in"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    found = House(tmp_path_factory.mktemp("house"))
    yield found
    found.close()


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


def test_given_every_route_when_each_of_nine_asks_then_as_the_route_says_of_itself(
    house: House,
) -> None:
    assert len(house.askers) == 9
    calls, found = house.calls(), []
    for call in calls:
        for asker in house.askers:
            if call.method != "GET":
                house.restore()
            found.append(wrong(house, call, asker, house.send(call, asker)))
    assert len(found) >= 50 * 9
    assert [one for one in found if one] == []


def test_given_a_route_that_says_nothing_of_whom_it_is_for_then_the_walk_finds_it(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    house = House(tmp_path_factory.mktemp("forgetful"))
    house.app.add_url_rule("/forgotten", "home.forgotten", lambda: "")
    (forgotten,) = [call for call in house.calls() if call.endpoint == "home.forgotten"]
    with pytest.raises(AssertionError, match="GET /forgotten says neither"):
        house.role(forgotten)
    house.close()


# --- two tenants -----------------------------------------------------------------------------------------------------
def strangers(house: House) -> list[Asker]:
    return [
        asker
        for asker in house.askers
        if asker.tenant and asker.tenant != OWNER and not asker.is_platform
    ]


def plain(house: House, text: str, names: dict[str, str]) -> str:
    """An answer without what differs by itself: the id that was asked for, the trace."""
    for value in names.values():
        text = text.replace(value, "ASKED")
    return re.sub(r"[0-9a-f]{32}", "TRACE", text)


def told(house: House, call: Call, asker: Asker) -> tuple[int, str, str]:
    house.restore()
    answer = house.send(call, asker)
    head = "\n".join(
        f"{name}: {value}" for name, value in answer.headers if name not in ("X-Trace-Id", "Date")
    )
    return (
        answer.status_code,
        plain(house, head, call.names),
        plain(house, answer.get_data(as_text=True), call.names),
    )


def test_given_what_another_tenant_has_when_asked_for_then_as_what_nobody_has(house: House) -> None:
    pairs = [
        (one, other)
        for one, other in zip(house.calls(), house.calls(strange=True), strict=True)
        if one.owned
    ]
    assert len(pairs) >= 25
    for one, other in pairs:
        for asker in strangers(house):
            assert told(house, one, asker) == told(house, other, asker), f"{one} by {asker.name}"


def test_given_every_route_when_a_stranger_asks_then_nothing_of_the_owner_is_read_or_changed(
    house: House,
) -> None:
    secret = [
        *house.words.values(),
        *house.jobs.values(),
        *house.letters.values(),
        house.session,
        house.session_token,
    ]
    secret += [short_name("shop", job) for job in house.jobs.values()]
    seen = 0
    for asker in strangers(house):
        for call in house.calls(strange=True):
            house.restore()
            before = standing(house)
            answer = house.send(call, asker)
            text = answer.get_data(as_text=True) + str(answer.headers)
            assert [word for word in secret if word in text] == [], f"{call} by {asker.name}"
            assert standing(house) == before, f"{call} by {asker.name} changed what is {OWNER}'s"
            seen += answer.status_code == 200
    assert seen > 20


def standing(house: House) -> list[Any]:
    """Alpha's jobs and letters, as the store has them."""
    j, d = jobs.c, dead_letters.c
    with reading(house.shop.db) as connection:
        rows = connection.execute(
            select(j.id, j.rev, j.state, j.owner)
            .where(j.tenant_id == house.shop.tenant)
            .order_by(j.id)
        )
        letters = connection.execute(
            select(d.id, d.state, d.redrive_at, d.resolved_by)
            .where(d.tenant_id == house.shop.tenant)
            .order_by(d.id)
        )
        return [tuple(row) for row in [*rows, *letters]]


def test_given_the_owners_tags_cursors_names_and_keys_when_a_stranger_uses_them_then_they_are_worth_nothing(
    house: House,
) -> None:
    house.restore()
    owner, stranger = house.asker(f"operator of {OWNER}"), house.asker(f"operator of {STRANGER}")

    def get(asker: Asker, path: str, **headers: str) -> Any:
        return house.app.test_client(use_cookies=False).get(path, headers=asker.headers | headers)

    for list_ in ("/api/v1/jobs", "/api/v1/dead-letters"):
        first = get(owner, f"{list_}?limit=1").get_json()
        assert first["items"] and first["next"]
        assert get(stranger, f"{list_}?cursor={first['next']}").get_json().get("items", []) == []
    assert get(stranger, f"/api/v1/jobs?tag={house.words['tag']}").get_json()["items"] == []
    job = house.jobs["asked"]
    for path in (
        f"/api/v1/jobs/{job}",
        f"/api/v1/jobs/{job}/why",
        f"/api/v1/jobs/{job}/history",
        f"/jobs/{job}/live",
    ):
        tag = get(owner, path).headers.get("ETag")
        assert get(stranger, path, **({"If-None-Match": tag} if tag else {})).status_code == 404, (
            path
        )
    tag = get(owner, "/api/v1/jobs").headers.get("ETag")
    assert tag is None or get(stranger, "/api/v1/jobs", **{"If-None-Match": tag}).status_code == 200
    name = short_name("shop", job)
    assert get(owner, f"/find?q={name}").headers["Location"].endswith(job)
    known, unknown = (get(stranger, f"/find?q={asked}") for asked in (name, "shop-0000"))
    assert known.status_code == unknown.status_code and job not in known.get_data(
        as_text=True
    ) + str(known.headers)
    key = {"Idempotency-Key": house.words["key"]}
    body = {
        "saga": "shop",
        "input": {"sku": "a", "quantity": 1, "amount_cents": 1, "card": "tok_12345678"},
    }
    made = house.app.test_client(use_cookies=False).post(
        "/api/v1/jobs", json=body, headers=stranger.headers | key
    )
    assert made.status_code == 202 and made.get_json()["id"] not in house.jobs.values()


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


def test_given_a_signed_in_browser_when_another_sites_page_changes_something_then_403_and_nothing_has_changed(
    house: House,
) -> None:
    calls = [call for call in house.calls() if call.method not in ("GET", "HEAD", "OPTIONS")]
    assert len(calls) >= 20
    nobody = house.asker("nobody")
    for call in calls:
        house.restore()
        before = standing(house)
        browser = house.app.test_client()
        assert (
            browser.post(SIGN_IN, data={"key": house.asker(f"admin of {OWNER}").key}).status_code
            == 303
        )
        for headers in FOREIGN:
            answer = house.send(call, nobody, browser, **headers)
            assert answer.status_code == 403, f"{call} from {headers}: {answer.status_code}"
            assert "Set-Cookie" not in answer.headers, f"{call} from {headers}"
        assert standing(house) == before, str(call)
        assert browser.get("/api/v1/jobs").status_code == 200, f"{call} has ended the session"


def test_given_a_signed_in_browser_when_our_own_page_changes_something_then_it_is_heard(
    house: House,
) -> None:
    nobody, heard = house.asker("nobody"), 0
    for call in house.calls():
        if call.method in ("GET", "HEAD", "OPTIONS"):
            continue
        house.restore()
        browser = house.app.test_client()
        browser.post(SIGN_IN, data={"key": house.asker(f"admin of {OWNER}").key})
        for headers in ({"Sec-Fetch-Site": "same-origin"}, {"Origin": f"http://{HOST}"}):
            status = house.send(call, nobody, browser, **headers).status_code
            heard += status != 403 or json.dumps(headers) == ""
    assert heard >= 40 and OWNED
