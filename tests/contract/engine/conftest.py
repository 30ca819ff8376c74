"""Every engine test runs on both databases, and ends by asking the invariants."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from surefoot.app.store import postgres_fast_path
from tests.support.world import Participant, World, diamond

# How a completion gets into a store: PostgreSQL has a statement of its own for it, and makes the move step by step where that says no.
BOTH_COMPLETIONS = pytest.mark.parametrize(
    "ready_url", ["sqlite", "postgresql", "postgresql step by step"], indirect=True
)


@pytest.fixture(params=["sqlite", "postgresql"])
def ready_url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """As everywhere; "postgresql step by step" without wide statements."""
    if request.param.endswith("step by step"):
        monkeypatch.setattr(postgres_fast_path, "serves", lambda db: False)
    return str(
        request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "ready_postgres")
    )


@pytest.fixture
def service() -> Participant:
    return Participant()


@pytest.fixture
def world(ready_url: str, service: Participant) -> Iterator[World]:
    world = World(ready_url, [diamond(service)], service)
    try:
        yield world
        assert world.broken() == {}
    finally:
        world.db.dispose()
