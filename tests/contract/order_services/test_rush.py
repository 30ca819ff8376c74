"""The command that orders from outside: it asks until an order is taken, and says which did not end as it should."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import httpx
import pytest

from surefoot.workers.sagas.order.rush import NotAShop, Rush, spread


class Shop:
    """A shop of one process. `troubles`: what answers first, before it works; `end`: how an order of this card ends."""

    def __init__(
        self, *troubles: int | Exception, end: dict[str, tuple[str, str]] | None = None
    ) -> None:
        self.troubles, self.asked = list(troubles), Counter[str]()
        self.end = {
            "tok_ok": ("completed", "done"),
            "tok_declined": ("failed", "undone"),
            **(end or {}),
        }
        self.jobs: dict[str, dict[str, Any]] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked[request.method] += 1
        if request.url.path.startswith("/api/v1/sagas/"):
            return httpx.Response(200 if request.headers["Authorization"] == "Bearer good" else 401)
        if request.method == "POST":
            key, card = (
                request.headers["Idempotency-Key"],
                json.loads(request.content)["input"]["card"],
            )
            state, outcome = self.end[card]
            ended = None if state == "running" else "2026-11-22T10:00:01.500Z"
            facts = {
                "state": state,
                "outcome": outcome,
                "reason": None,
                "created_at": "2026-11-22T10:00:00Z",
                "finished_at": ended,
            }
            self.jobs.setdefault(
                key, {"id": f"job-{len(self.jobs)}", **facts}
            )  # taken, whatever becomes of the answer
            if self.troubles:
                return self.trouble(request)
            return httpx.Response(202, json=self.jobs[key])
        wanted = request.url.path.rsplit("/", 1)[1]
        return httpx.Response(
            200, json=next(job for job in self.jobs.values() if job["id"] == wanted)
        )

    def trouble(self, request: httpx.Request) -> httpx.Response:
        what = self.troubles.pop(0)
        if isinstance(what, Exception):
            raise what
        return httpx.Response(what, headers={"Retry-After": "3600"})

    def rush(self, key: str = "good", **words: Any) -> Rush:
        http = httpx.Client(
            transport=httpx.MockTransport(self),
            base_url="http://shop",
            headers={"Authorization": f"Bearer {key}"},
        )
        self.slept: list[float] = []
        return Rush(http, sleep=self.slept.append, **words)


def test_given_a_shop_that_fails_and_loses_answers_when_orders_are_placed_then_each_is_one_job_and_all_land() -> (
    None
):
    shop = Shop(503, httpx.ReadError("lost"), 429, httpx.ConnectError("refused"), 500)
    told = shop.rush().run(12)
    assert told.landed
    assert (len(shop.jobs), told.states) == (12, {"completed": 9, "failed": 3})
    assert told.failures == {"503": 1, "ReadError": 1, "429": 1, "ConnectError": 1, "500": 1}
    assert max(shop.slept) == 5.0  # asked to stay away for an hour
    assert told.to_json()["ended_s"] == {"p50": 1.5, "p95": 1.5, "most": 1.5}


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ({"tok_ok": ("failed", "undone")}, "with the card tok_ok is failed (undone)"),
        (
            {"tok_declined": ("failed", "undone_partly")},
            "with the card tok_declined is failed (undone_partly)",
        ),
        ({"tok_ok": ("running", "open")}, "has not ended"),
    ],
)
def test_given_an_order_that_ends_otherwise_or_never_then_it_is_named_and_nothing_has_landed(
    end: Any, said: str
) -> None:
    told = Shop(end=end).rush(patience_s=0.2).run(4)
    assert not told.landed
    assert said in " ".join(told.wrong)


def test_given_a_shop_that_takes_no_order_for_too_long_then_that_is_said() -> None:
    shop = Shop(*[503] * 100_000)
    told = shop.rush(patience_s=0.1).run(1)
    assert not told.landed
    assert "was not taken within 0.1 s" in told.wrong[0]


def test_given_a_wrong_key_or_a_refused_order_then_nothing_more_is_tried() -> None:
    shop = Shop()
    with pytest.raises(NotAShop, match="does not take this key"):
        shop.rush(key="bad").run(3)
    assert shop.jobs == {}
    with pytest.raises(NotAShop, match=r"refused \(422\)"):
        Shop(422).rush().run(1)


def test_given_seconds_then_their_spread() -> None:
    assert spread([]) == {}
    assert spread([float(n) for n in range(1, 101)]) == {"p50": 51.0, "p95": 96.0, "most": 100.0}
