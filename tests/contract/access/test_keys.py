"""Keys on both databases: shown once, found by their hash, gone when revoked."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, func, select

from surefoot.app.access import keys, tenants
from surefoot.app.access.principal import Principal, Role
from surefoot.app.errors import NotAllowed, NotFound, RequestError, SettingsError
from surefoot.app.store.session import reading
from surefoot.app.store.tables import api_keys
from surefoot.app.store.tables import tenants as tenants_table
from tests.support.stores import open_new_store

GIVEN = "an operator's own key, which has at least 32 characters"


@pytest.fixture
def db(ready_url: str) -> Iterator[Engine]:
    engine = open_new_store(ready_url)
    yield engine
    engine.dispose()


def rows(db: Engine) -> list[dict[str, object]]:
    with reading(db) as connection:
        return [dict(row) for row in connection.execute(select(api_keys)).mappings()]


def test_given_new_key_when_found_then_its_tenant_and_role_and_only_its_hash_is_kept(
    db: Engine,
) -> None:
    key_id, text = keys.create(db, "acme", "operator", "night shift")
    assert text.startswith("sf_")
    assert len(text) >= 46
    assert keys.find(db, text) == Principal(
        key_id, tenants.ensure(db, "acme"), Role.OPERATOR, "night shift"
    )
    assert text not in str(rows(db))
    assert str(rows(db)[0]["prefix"]) == text[:8]


@pytest.mark.parametrize(
    "wrong", ["", "sf_", "nobody's key", "sf_" + "A" * 43, "x" * 100_000, "\ud800"]
)
def test_given_unknown_key_when_looked_for_then_nobody(db: Engine, wrong: str) -> None:
    keys.create(db)
    assert keys.find(db, wrong) is None


def test_given_revoked_key_when_looked_for_then_nobody(db: Engine) -> None:
    key_id, text = keys.create(db)
    _, other = keys.create(db)
    first = keys.revoke(db, key_id)
    assert keys.revoke(db, key_id) == first
    assert keys.find(db, text) is None
    assert keys.find(db, other) is not None
    keys.revoke(db, other[:8])
    assert keys.find(db, other) is None


@pytest.mark.parametrize("wanted", ["018f0000-0000-7000-8000-000000000000", "sf_xxxxx", ""])
def test_given_no_such_key_when_revoked_then_not_found(db: Engine, wanted: str) -> None:
    with pytest.raises(NotFound):
        keys.revoke(db, wanted)


def test_given_operators_key_when_ensured_again_and_at_once_then_one_key_of_the_platform(
    db: Engine,
) -> None:
    together = [threading.Thread(target=keys.ensure_admin, args=(db, GIVEN)) for _ in range(6)]
    for thread in together:
        thread.start()
    for thread in together:
        thread.join()
    assert len({keys.ensure_admin(db, GIVEN) for _ in range(2)}) == 1
    assert len(rows(db)) == 1
    found = keys.find(db, GIVEN)
    assert found is not None
    assert (found.role, found.tenant_id) == (Role.PLATFORM, tenants.ensure(db))


def test_given_short_or_revoked_operators_key_when_ensured_then_settings_error(db: Engine) -> None:
    with pytest.raises(SettingsError, match="32 characters"):
        keys.ensure_admin(db, "x" * 31)
    keys.revoke(db, keys.ensure_admin(db, GIVEN))
    with pytest.raises(SettingsError, match="revoked"):
        keys.ensure_admin(db, GIVEN)


def test_given_unknown_role_or_long_name_when_made_then_refused_and_nothing_kept(
    db: Engine,
) -> None:
    with pytest.raises(RequestError, match="role"):
        keys.create(db, role="root")
    with pytest.raises(RequestError, match="64"):
        keys.create(db, name="x" * 65)
    with pytest.raises(RequestError, match="tenant"):
        keys.create(db, tenant="")
    assert rows(db) == []


def test_given_keys_when_listed_then_by_tenant_without_hash(db: Engine) -> None:
    keys.create(db, "acme", name="a")
    keys.create(db, "bolt", name="b")
    assert [(row["tenant"], row["name"]) for row in keys.list_keys(db)] == [
        ("acme", "a"),
        ("bolt", "b"),
    ]
    assert [row["name"] for row in keys.list_keys(db, "bolt")] == ["b"]
    assert all("hash" not in row for row in keys.list_keys(db))


def test_given_tenant_when_ensured_by_many_then_one_row(db: Engine) -> None:
    found: list[str] = []
    together = [
        threading.Thread(target=lambda: found.append(tenants.ensure(db, "acme"))) for _ in range(6)
    ]
    for thread in together:
        thread.start()
    for thread in together:
        thread.join()
    assert len(set(found)) == 1
    with reading(db) as connection:
        assert connection.execute(select(func.count()).select_from(tenants_table)).scalar_one() == 1


def test_given_role_when_asked_for_more_then_refused() -> None:
    user, operator, admin, platform = (Principal("k", "t", role, "n") for role in Role)
    admin.need(Role.OPERATOR)
    operator.need(Role.OPERATOR)
    operator.need(Role.USER)
    with pytest.raises(NotAllowed):
        user.need(Role.OPERATOR)
    with pytest.raises(NotAllowed):
        operator.need(Role.ADMIN)
    platform.need(Role.ADMIN)
    with pytest.raises(NotAllowed, match="needs the role platform"):
        admin.need(Role.PLATFORM)
