"""Two tenants and every route with a job in it: another tenant's job is not there."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from surefoot.app.access import keys
from surefoot.app.store.ids import new_id
from tests.contract.views.shop import Caller, Shop

JOBS = "/api/v1/jobs"


# a person's decisions about a job
FOR_OPERATORS = ("/effects/", "/attention", "/letters/", "/redrive")


def routes_with_a_job(app: Flask) -> list[tuple[str, str]]:
    return [
        (method, rule.rule.replace("<step>", "charge_card").replace("<letter_id>", new_id()))
        for rule in app.url_map.iter_rules()
        if "<job_id>" in rule.rule
        for method in sorted(rule.methods - {"OPTIONS"})
    ]


@pytest.mark.parametrize("role", ["user", "operator", "admin"])
def test_given_job_of_another_tenant_when_any_route_is_asked_then_as_if_it_were_not(
    shop: Shop, role: str
) -> None:
    app = shop.web()
    job_id = Caller(app, shop.key()).submit(headers={"Idempotency-Key": "k"}).get_json()["id"]
    before = shop.job(job_id)
    stranger = Caller(app, shop.key(role, tenant="other"))
    routes = routes_with_a_job(app)
    assert len(routes) >= 15
    for method, rule in routes:
        body: dict[str, Any] = {"json": {"reason": "x"}} if "/effects/" in rule else {}
        answer = stranger.client.open(
            rule.replace("<job_id>", job_id), method=method, headers=stranger.headers, **body
        )
        forbidden = role == "user" and any(part in rule for part in FOR_OPERATORS)
        assert answer.status_code == (403 if forbidden else 404), (method, rule)
        assert job_id not in answer.get_data(as_text=True).replace(f"/{job_id}", "")
    assert stranger.get(JOBS).get_json()["items"] == []
    assert shop.job(job_id) == before


def test_given_cursor_of_one_tenant_when_another_uses_it_then_still_only_its_own(
    shop: Shop,
) -> None:
    app = shop.web()
    ours, theirs = Caller(app, shop.key()), Caller(app, shop.key(tenant="other"))
    mine = theirs.submit().get_json()["id"]
    for _ in range(3):
        ours.submit()
    cursor = ours.get(f"{JOBS}?limit=1").get_json()["next"]
    assert [item["id"] for item in theirs.get(f"{JOBS}?cursor={cursor}").get_json()["items"]] == [
        mine
    ]


def test_given_revoked_key_when_used_then_401_at_once(shop: Shop) -> None:
    app = shop.web()
    key_id, text = keys.create(shop.db, "default", "user", "n")
    caller = Caller(app, text)
    assert caller.get(JOBS).status_code == 200
    keys.revoke(shop.db, key_id)
    assert caller.get(JOBS).status_code == 401
