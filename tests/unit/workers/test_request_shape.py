from __future__ import annotations

from typing import Any

import pytest

from surefoot.app.store.ids import new_id
from surefoot.workers.request import fault_of

JOB, ID = new_id(), new_id()
EMBED: dict[str, Any] = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
SIGNATURE = {
    "task": "order.a",
    "args": [JOB, ""],
    "kwargs": {},
    "options": {"task_id": ID},
    "subtask_type": None,
}
CHAIN = {
    "task": "celery.chain",
    "args": [],
    "kwargs": {"tasks": [SIGNATURE]},
    "options": {},
    "subtask_type": "chain",
}


def nested(deep: int) -> dict[str, Any]:
    """A chain in a chain, so many times."""
    found: dict[str, Any] = CHAIN
    for _ in range(deep - 1):
        found = CHAIN | {"kwargs": {"tasks": [found]}}
    return found


def fault(
    headers: dict[str, Any] | None = None,
    args: Any = (JOB, ""),
    kwargs: Any = None,
    embed: Any = EMBED,
) -> str | None:
    kwargs = {} if kwargs is None else kwargs
    return fault_of(
        {"id": ID, "task": "order.a"} | (headers or {}), args, kwargs, (args, kwargs, embed)
    )


@pytest.mark.parametrize(
    "message",
    [
        pytest.param({}, id="plain"),
        pytest.param({"args": [JOB]}, id="without item"),
        pytest.param({"embed": None}, id="nothing embedded"),
        pytest.param(
            {"embed": EMBED | {"chain": [SIGNATURE], "chord": SIGNATURE}}, id="chain and chord"
        ),
        pytest.param(
            {"embed": EMBED | {"chain": [SIGNATURE | {"options": {"chord": nested(1)}}]}},
            id="a chord whose body is a chain",
        ),
        pytest.param(
            {"headers": {"timelimit": [None, 3.5], "retries": 0, "root_id": JOB, "argsrepr": "()"}},
            id="headers of ours",
        ),
    ],
)
def test_given_message_of_ours_when_looked_at_then_no_fault(message: dict[str, Any]) -> None:
    assert fault(**message) is None


@pytest.mark.parametrize(
    "message",
    [
        pytest.param({"headers": {"id": "12"}}, id="id"),
        pytest.param({"headers": {"id": None}}, id="no id"),
        pytest.param({"args": ["12", ""]}, id="job id"),
        pytest.param({"args": []}, id="no arguments"),
        pytest.param({"args": [JOB, "x" * 256]}, id="long item"),
        pytest.param({"args": {"a": 1}}, id="arguments are a mapping"),
        pytest.param({"kwargs": {"a": 1}}, id="keyword arguments"),
        pytest.param({"headers": {"eta": "2026-01-01T00:00:00"}}, id="eta"),
        pytest.param({"headers": {"expires": "2026-01-01T00:00:00"}}, id="expires"),
        pytest.param({"headers": {"timelimit": [True, None]}}, id="time limit is a truth value"),
        pytest.param({"headers": {"timelimit": [-1, None]}}, id="time limit is negative"),
        pytest.param({"headers": {"root_id": 5}}, id="root id"),
        pytest.param({"headers": {"group_index": "1"}}, id="group index"),
        pytest.param({"embed": 5}, id="embed"),
        pytest.param({"embed": EMBED | {"chain": [SIGNATURE] * 101}}, id="endless chain"),
        pytest.param({"embed": EMBED | {"chain": [SIGNATURE | {"options": 1}]}}, id="options"),
        pytest.param(
            {"embed": EMBED | {"chord": SIGNATURE | {"task": None}}}, id="chord without a task"
        ),
        pytest.param(
            {"embed": EMBED | {"chain": [SIGNATURE | {"options": {"chord": "order.e"}}]}},
            id="an element's chord",
        ),
        pytest.param(
            {"embed": EMBED | {"chord": CHAIN | {"kwargs": {"tasks": "order.e"}}}},
            id="a chain of no list",
        ),
        pytest.param(
            {"embed": EMBED | {"chord": CHAIN | {"kwargs": {"tasks": [1]}}}},
            id="a chain of no signatures",
        ),
        pytest.param(
            {"embed": EMBED | {"chord": CHAIN | {"kwargs": {"tasks": [SIGNATURE] * 101}}}},
            id="an endless body",
        ),
        pytest.param({"embed": EMBED | {"chord": nested(50)}}, id="chains in chains"),
        pytest.param({"embed": EMBED | {"errbacks": [SIGNATURE]}}, id="errbacks"),
    ],
)
def test_given_message_of_nobody_when_looked_at_then_its_fault_is_named(
    message: dict[str, Any],
) -> None:
    assert fault(**message)
