"""A shop on each database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.views.shop import Shop


@pytest.fixture
def shop(ready_url: str) -> Iterator[Shop]:
    world = Shop(ready_url)
    yield world
    world.close()
