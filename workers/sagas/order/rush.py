"""A rush of orders at a shop that runs somewhere, by its URL and a key alone: what a customer sees
of a kill -9.

Each order has an idempotency key of its own and is asked for until the shop has taken it, however
often that fails. Then it is followed to its end, which must be the one its card asks for: paid and
shipped, or undone with nothing left.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx

from surefoot.app.store.ids import new_id

CUSTOMERS = 8  # who order at once
AGAIN_S = 0.3  # between two tries of one request
AGAIN_MOST_S = 5.0  # however long the shop asks to be left alone
REQUEST_S = 10.0
LOOK_S = 0.5
SKUS = ("apple", "pear", "plum")
DECLINED = 4  # of so many orders one has a card that the bank declines
ENDS = {"tok_ok": ("completed", "done"), "tok_declined": ("failed", "undone")}
PASSING = (
    408,
    409,
    425,
    429,
    500,
    502,
    503,
    504,
)  # statuses after which the same request may do better


class NotAShop(Exception):
    """What answers there does not take our orders."""


@dataclass(frozen=True)
class Wanted:
    """An order that is to be placed.

    `key` is its idempotency key, `at_s` when, in seconds from the beginning.
    """

    key: str
    card: str
    sku: str
    at_s: float


@dataclass(frozen=True)
class Placed:
    """One that the shop has taken.

    `asked` counts requests; `took_s` is from the first of them to the answer.
    """

    wanted: Wanted
    job: str
    asked: int
    took_s: float


@dataclass
class Told:
    """What came of a rush.

    Seconds; `ended_s` is from acceptance to the end, by the shop's own clock.
    """

    orders: int
    took_s: float = 0.0
    accepted_s: list[float] = field(default_factory=list)
    ended_s: list[float] = field(default_factory=list)
    states: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    @property
    def landed(self) -> bool:
        """Every order was taken, and ended as its card asks for."""
        return not self.wrong and len(self.ended_s) == self.orders

    def to_json(self) -> dict[str, Any]:
        return {
            "orders": self.orders,
            "landed": self.landed,
            "took_s": round(self.took_s, 1),
            "accepted": len(self.accepted_s),
            "accepted_s": spread(self.accepted_s),
            "ended_s": spread(self.ended_s),
            "states": dict(sorted(self.states.items())),
            "failed_requests": dict(self.failures.most_common()),
            "wrong": self.wrong,
        }


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """{"p50", "p95", "most"} of these; nothing when there are none."""
    ordered = sorted(seconds)
    if not ordered:
        return {}
    at = {"p50": 0.5, "p95": 0.95, "most": 1.0}
    return {
        name: round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 3)
        for name, share in at.items()
    }


class Rush:
    """Args: `http`, with the shop's address and a key; `saga`, which order; `patience_s`, for one
    order to be taken, and for all to end.
    """

    def __init__(
        self,
        http: httpx.Client,
        saga: str = "order",
        *,
        patience_s: float = 300.0,
        sleep: Callable[[float], None] = time.sleep,
    ):
        self._http, self._saga, self._patience_s, self._sleep = http, saga, patience_s, sleep
        self._failures: Counter[str] = Counter()

    def run(self, orders: int, over_s: float = 0.0) -> Told:
        """Place so many orders, spread evenly over so many seconds, and follow all to their end.

        Raises: NotAShop.
        """
        self._greet()
        began = time.monotonic()
        run = new_id()
        wanted = [
            Wanted(f"rush-{run}-{n}", _card(n), SKUS[n % len(SKUS)], over_s * n / orders)
            for n in range(orders)
        ]
        told = Told(orders)
        with ThreadPoolExecutor(CUSTOMERS) as pool:
            placed = list(pool.map(lambda one: self._place(one, began), wanted))
        taken = [one for one in placed if one is not None]
        told.accepted_s = [one.took_s for one in taken]
        told.wrong += [
            f"{one.key} was not taken within {self._patience_s:g} s"
            for one, p in zip(wanted, placed, strict=True)
            if p is None
        ]
        self._follow(taken, told)
        told.took_s, told.failures = time.monotonic() - began, self._failures
        return told

    def _greet(self) -> None:
        """Raises: NotAShop, before anything is ordered."""
        try:
            answer = self._http.get(f"/api/v1/sagas/{self._saga}", timeout=REQUEST_S)
        except httpx.HTTPError as error:
            raise NotAShop(f"Nobody answers at {self._http.base_url}: {error}") from error
        if answer.status_code in (401, 403):
            raise NotAShop(f"{self._http.base_url} does not take this key ({answer.status_code}).")
        if answer.status_code != 200:
            raise NotAShop(
                f"{self._http.base_url} has no saga {self._saga} ({answer.status_code})."
            )

    def _place(self, one: Wanted, began: float) -> Placed | None:
        """Ask until it is taken; None after `patience_s`. Raises: NotAShop when it never will be."""
        self._sleep(max(0.0, began + one.at_s - time.monotonic()))
        body = {
            "saga": self._saga,
            "input": {
                "customer": "Rush",
                "email": "rush@example.com",
                "sku": one.sku,
                "quantity": 1,
                "amount_cents": 500,
                "card": one.card,
            },
        }
        first = time.monotonic()
        asked = 0
        while time.monotonic() - first < self._patience_s:
            asked += 1
            answer = self._asked(
                "POST", "/api/v1/jobs", json=body, headers={"Idempotency-Key": one.key}
            )
            if answer is not None and answer.status_code in (200, 202):
                return Placed(one, str(answer.json()["id"]), asked, time.monotonic() - first)
            if answer is not None and answer.status_code not in PASSING:
                raise NotAShop(f"An order was refused ({answer.status_code}): {answer.text[:200]}")
            self._sleep(_pause_s(answer))
        return None

    def _follow(self, placed: Sequence[Placed], told: Told) -> None:
        until = time.monotonic() + self._patience_s
        open_ones = list(placed)
        while open_ones and time.monotonic() < until:
            with ThreadPoolExecutor(CUSTOMERS) as pool:
                jobs = list(pool.map(self._job, open_ones))
            still = []
            for one, job in zip(open_ones, jobs, strict=True):
                if job is None or job["finished_at"] is None:
                    still.append(one)
                    continue
                told.states[job["state"]] += 1
                told.ended_s.append(
                    (
                        datetime.fromisoformat(job["finished_at"])
                        - datetime.fromisoformat(job["created_at"])
                    ).total_seconds()
                )
                if (job["state"], job["outcome"]) != ENDS[one.wanted.card]:
                    told.wrong.append(
                        f"{one.job} with the card {one.wanted.card} is {job['state']} ({job['outcome']}): {job['reason']}"
                    )
            open_ones = still
            if open_ones:
                self._sleep(LOOK_S)
        told.wrong += [
            f"{one.job} has not ended {self._patience_s:g} s after the last order"
            for one in open_ones
        ]

    def _job(self, one: Placed) -> dict[str, Any] | None:
        answer = self._asked("GET", f"/api/v1/jobs/{one.job}")
        return dict(answer.json()) if answer is not None and answer.status_code == 200 else None

    def _asked(self, method: str, path: str, **words: Any) -> httpx.Response | None:
        """The answer, whatever it says; None when there was none."""
        try:
            answer = self._http.request(method, path, timeout=REQUEST_S, **words)
        except httpx.HTTPError as error:
            self._failures[type(error).__name__] += 1
            return None
        if answer.status_code >= 400:
            self._failures[str(answer.status_code)] += 1
        return answer


def _card(n: int) -> str:
    return "tok_declined" if n % DECLINED == DECLINED - 1 else "tok_ok"


def _pause_s(answer: httpx.Response | None) -> float:
    said = answer.headers.get("Retry-After", "") if answer is not None else ""
    return min(float(said), AGAIN_MOST_S) if said.isdecimal() else AGAIN_S
