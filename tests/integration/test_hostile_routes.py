"""Who gets what by which route: every route there is, asked by everybody who could ask."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from surefoot.app.store.views.names import short_name
from tests.support import walks
from tests.support.house import OWNED, OWNER, STRANGER, Asker, House
from tests.support.planted_routes import PLANTED, Planted
from tests.support.walks import HOST, SAFE, signed_in


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    found = House(tmp_path_factory.mktemp("house"))
    yield found
    found.close()


def test_given_every_route_when_each_of_nine_asks_then_as_the_route_says_of_itself(
    house: House,
) -> None:
    assert len(house.askers) == 9
    assert len(house.calls()) >= 50
    assert list(walks.of_roles(house)) == []


def test_given_a_route_that_says_nothing_of_whom_it_is_for_then_the_walk_finds_it(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    house = House(tmp_path_factory.mktemp("forgetful"))
    house.app.add_url_rule("/forgotten", "home.forgotten", lambda: "")
    (forgotten,) = [call for call in house.calls() if call.endpoint == "home.forgotten"]
    with pytest.raises(AssertionError, match="GET /forgotten says neither"):
        house.role(forgotten)
    house.close()


@pytest.mark.parametrize("planted", PLANTED, ids=[one.name for one in PLANTED])
def test_given_a_planted_mistake_when_walked_then_found_at_each_route_that_has_it(
    house: House, planted: Planted
) -> None:
    house.restore()
    house.app.extensions["surefoot.principals"].clear()
    calls = [call for call in house.calls() if planted.chosen(call)]
    expected = {call.endpoint for call in calls if planted.expected(house, call)}
    assert expected
    with planted.made(house):
        found = {endpoint for endpoint, _ in planted.walk(house, calls.__contains__)}
    house.app.extensions["surefoot.principals"].clear()
    missed = expected - found
    if planted.all:
        assert missed == set()
    assert missed != expected


# --- two tenants -----------------------------------------------------------------------------------------------------
def test_given_what_another_tenant_has_when_asked_for_then_as_what_nobody_has(house: House) -> None:
    assert len([call for call in house.calls() if call.owned]) >= 25
    assert list(walks.of_names(house)) == []


def test_given_every_route_when_a_stranger_asks_then_nothing_of_the_owner_is_read_or_changed(
    house: House,
) -> None:
    assert list(walks.of_answers(house)) == []
    answered = [
        call
        for asker in walks.strangers(house)
        for call in house.calls(strange=True)
        if call.method == "GET" and house.send(call, asker).status_code == 200
    ]
    assert len(answered) > 20


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
def test_given_a_signed_in_browser_when_another_sites_page_changes_something_then_403_and_nothing_has_changed(
    house: House,
) -> None:
    assert len([call for call in house.calls() if call.method not in SAFE]) >= 20
    assert list(walks.of_origins(house)) == []


def test_given_a_signed_in_browser_when_our_own_page_changes_something_then_it_is_heard(
    house: House,
) -> None:
    nobody, heard = house.asker("nobody"), 0
    for call in house.calls():
        if call.method in SAFE:
            continue
        house.restore()
        browser = signed_in(house, call)
        for headers in ({"Sec-Fetch-Site": "same-origin"}, {"Origin": f"http://{HOST}"}):
            status = house.send(call, nobody, browser, **headers).status_code
            heard += status != 403
    assert heard >= 40 and OWNED
