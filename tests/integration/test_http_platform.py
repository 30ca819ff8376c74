"""What is not one tenant's: the platform's keys see it, and each tenant's operators see what names
their own jobs.
"""

from __future__ import annotations

import json

import pytest
from flask import Flask
from sqlalchemy import text

from surefoot.app.access import keys
from surefoot.app.engine.worker import quarantine
from surefoot.app.engine.worker.quarantine import Unrunnable
from surefoot.app.store.ids import new_id
from surefoot.app.store.session import open_engine
from tests.contract.store.test_migrations import upgrade_to
from tests.contract.views.shop import Caller, Shop

QUARANTINE, WHY = "/api/v1/quarantine", {"reason": "seen"}
GLOBAL = [("GET", "/metrics"), ("GET", "/api/v1/workers"), ("POST", "/api/v1/reconcile")]
COLUMNS = "id, tenant_id, name, role, prefix, hash"
BELOW = ("user", "operator", "admin")


def named(shop: Shop, job_id: str) -> str:
    """A message in quarantine that names this job."""
    body = json.dumps([[job_id], {}, None])
    return quarantine.keep(shop.db, "r", Unrunnable(queue="q", body=body, headers={}))


@pytest.mark.parametrize(("method", "path"), GLOBAL)
def test_given_what_is_of_all_tenants_when_asked_for_then_the_platform_alone(
    shop: Shop, app: Flask, method: str, path: str
) -> None:
    for tenant in ("default", "other"):
        for role in BELOW:
            below = Caller(app, shop.key(role, tenant))
            answer = below.client.open(path, method=method, headers=below.headers)
            assert (answer.status_code, answer.get_json()["type"]) == (403, "/problems/forbidden")
    platform = Caller(app, shop.key("platform", "other"))
    answer = platform.client.open(path, method=method, headers=platform.headers)
    assert answer.status_code in (200, 202)


def test_given_messages_that_name_jobs_when_operators_look_then_each_sees_its_own_tenants(
    shop: Shop, app: Flask, operator: Caller, platform: Caller
) -> None:
    stranger = Caller(app, shop.key("operator", "other"))
    theirs = named(shop, stranger.submit().get_json()["id"])
    mine, nobodys = named(shop, shop.order()), named(shop, new_id())
    rubbish = quarantine.keep(shop.db, "r", Unrunnable(queue="q", body=b'[["x', headers={}))

    def seen(caller: Caller, state: str = "kept") -> list[str]:
        return [row["id"] for row in caller.get(f"{QUARANTINE}?state={state}").get_json()["items"]]

    assert (seen(operator), seen(stranger)) == ([mine], [theirs])
    assert seen(platform) == [rubbish, nobodys, mine, theirs]
    for message in (mine, nobodys, rubbish):
        assert stranger.get(f"{QUARANTINE}/{message}").status_code == 404
        assert stranger.post(f"{QUARANTINE}/{message}/discard", WHY).status_code == 404
    assert stranger.post(f"{QUARANTINE}/{theirs}/discard", WHY).status_code == 202
    assert (seen(stranger, "discarded"), seen(operator, "discarded")) == ([theirs], [])
    assert seen(platform) == [rubbish, nobodys, mine]


def test_given_the_first_key_and_a_made_one_then_lists_say_platform(shop: Shop, app: Flask) -> None:
    keys.ensure_admin(shop.db, "k" * 32)
    shop.key("platform")
    assert [row["role"] for row in keys.list_keys(shop.db)] == ["platform", "platform"]
    assert Caller(app, "k" * 32).get("/api/v1/workers").status_code == 200


def test_given_keys_of_the_release_before_when_migrated_then_default_operators_keep_what_they_had(
    store_url: str,
) -> None:
    db = open_engine(store_url)
    upgrade_to(db, "0016")
    with db.begin() as tx:
        for tenant in ("default", "acme"):
            tenant_id = new_id().replace("-", "") if db.dialect.name == "sqlite" else new_id()
            tx.execute(text(f"INSERT INTO tenants (id, name) VALUES ('{tenant_id}', '{tenant}')"))
            for role in BELOW:
                row = (new_id(), tenant_id, f"{tenant} {role}", role, "sf", f"{tenant}{role}")
                values = ", ".join(f"'{value}'" for value in row)
                tx.execute(text(f"INSERT INTO api_keys ({COLUMNS}) VALUES ({values})"))
    upgrade_to(db, "head")
    found = {row["name"]: row["role"] for row in keys.list_keys(db)}
    assert [name for name, role in found.items() if role == "platform"] == [
        "default operator",
        "default admin",
    ]
    assert found["acme admin"] == "admin"
    db.dispose()
