"""Every engine test runs on both databases, and ends by asking the invariants."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.world import Participant, World, diamond


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
