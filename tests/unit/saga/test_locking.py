"""Locks as they are declared: what is refused where it is written, and which keys an input names."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from surefoot.app.errors import DefinitionError
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.graph import Graph
from surefoot.app.saga.locking import Shared, keys_of
from surefoot.app.saga.outcomes import Rejected


class Order(BaseModel):
    ref: str | None = None
    more: list[Any] = []


def saga_of(**more: Any) -> Saga[Order]:
    saga = Saga("s", **{"version": 1, "input": Order, **more})

    @saga.step(lane="a", no_effect=True)
    def look(ctx: Any, o: Any) -> None:
        return None

    return saga


def test_given_no_locks_then_the_graph_says_nothing_of_them_and_the_digest_is_what_it_was_before_there_were_any() -> (
    None
):
    saga = saga_of()
    assert "locks" not in saga.graph.to_json()
    assert saga.digest == "009205b6dfcc9274"


def test_given_locks_then_policy_and_wait_belong_to_the_graph_and_come_back_from_json() -> None:
    saga = saga_of(locks=lambda o: [], lock_wait="30s")
    assert saga.graph.locks is not None
    assert (saga.graph.locks.on_locked, saga.graph.locks.wait_s) == ("wait", 30.0)
    assert Graph.from_json(saga.graph.to_json()) == saga.graph
    others = (saga_of(), saga_of(locks=lambda o: []), saga_of(locks=lambda o: [], on_locked="fail"))
    assert len({saga.digest, *(other.digest for other in others)}) == 4


@pytest.mark.parametrize(
    ("more", "told"),
    [
        pytest.param(
            {"lock_wait": "30s"},
            "lock_wait= says what to do about locks, but there are none",
            id="wait-for-nothing",
        ),
        pytest.param(
            {"on_locked": "fail"}, "on_locked= says what to do about locks", id="policy-for-nothing"
        ),
        pytest.param(
            {"locks": len, "on_locked": "skip"},
            "on_locked='skip'. Say 'wait' or 'fail'",
            id="policy",
        ),
        pytest.param(
            {"locks": len, "on_locked": "fail", "lock_wait": 3}, "never waits", id="fail-and-wait"
        ),
        pytest.param(
            {"locks": len, "lock_wait": "soon"}, "'soon' is not a duration", id="duration"
        ),
        pytest.param({"locks": len, "lock_wait": 0}, "is not a duration", id="no-time"),
        pytest.param({"locks": ["a"]}, "Say a plain function of the input", id="a-list"),
        pytest.param(
            {"locks": lambda: ["a"]}, "Say a plain function of the input", id="no-argument"
        ),
        pytest.param({"lock": len}, "Did you mean 'locks'", id="misspelt"),
    ],
)
def test_given_a_mistake_about_locks_when_declared_then_the_line_and_what_to_change(
    more: dict[str, Any], told: str
) -> None:
    with pytest.raises(DefinitionError, match=r"test_locking\.py:\d+: saga s") as refused:
        saga_of(**more)
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("locks", "told"),
    [
        pytest.param(
            lambda o: [f"order:{o.number}"],
            "locks= fails for examples[0]: AttributeError",
            id="raises",
        ),
        pytest.param(lambda o: "order:7", "it must give a list of keys", id="a-text"),
        pytest.param(lambda o: [7], "a key is text", id="a-number"),
    ],
)
def test_given_locks_that_fail_for_an_example_when_linted_then_told(locks: Any, told: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        _ = saga_of(locks=locks, examples=[Order(ref="A")]).graph
    assert told in str(refused.value)


def test_given_keys_when_asked_for_then_sorted_and_each_once() -> None:
    saga = saga_of(locks=lambda o: [*o.more, f"order:{o.ref}"] if o.ref else ())
    assert keys_of(saga, Order(ref="A", more=["z", "b", "z"])) == ("b", "order:A", "z")
    assert keys_of(saga, Order()) == ()
    assert keys_of(saga_of(), Order(ref="A")) == ()


@pytest.mark.parametrize("key", ["", " a", "a\n", "a\x00", "\ud800", "x" * 201, None], ids=repr)
def test_given_what_is_no_key_when_asked_for_then_refused(key: Any) -> None:
    with pytest.raises(Rejected, match="locks= gave"):
        keys_of(saga_of(locks=lambda o: o.more), Order(more=[key]))


def test_given_more_keys_than_a_job_may_take_when_asked_for_then_refused_by_the_settings_name() -> (
    None
):
    saga = saga_of(locks=lambda o: o.more)
    assert len(keys_of(saga, Order(more=list("abc")), most=3)) == 3
    with pytest.raises(Rejected, match="SUREFOOT_LOCK_KEYS"):
        keys_of(saga, Order(more=list("abcd")), most=3)
    with pytest.raises(Rejected, match="SUREFOOT_LOCK_KEY_CHARS"):
        keys_of(saga, Order(more=["abcd"]), longest=3)


def test_given_a_function_of_input_and_tenant_then_it_is_told_the_tenant() -> None:
    saga = saga_of(locks=lambda o, tenant: [f"{tenant}:{o.ref}"])
    assert keys_of(saga, Order(ref="A"), "acme") == ("acme:A",)
    assert keys_of(saga_of(locks=lambda o, more="x": [more]), Order(), "acme") == ("x",)


def test_given_a_shared_key_then_it_is_another_one_than_the_tenants_own() -> None:
    keys = keys_of(saga_of(locks=lambda o: [Shared("a"), "a", Shared("a")]), Order())
    assert [(key, isinstance(key, Shared)) for key in keys] == [("a", False), ("a", True)]
