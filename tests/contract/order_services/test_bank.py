"""The bank's promises, asked over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.support.waiting import wait_until

KEY = "job-1:charge_card::action"
ON_SQLITE = pytest.mark.parametrize(
    "services", ["sqlite"], indirect=True
)  # where the database is not the question
Charge = Callable[..., httpx.Response]


@pytest.fixture
def charge(http: httpx.Client) -> Charge:
    def post(
        card: str = "tok_ok",
        amount_cents: Any = 500,
        key: str = KEY,
        timeout: float | httpx.Timeout = 10,
    ) -> httpx.Response:
        body = {"amount_cents": amount_cents, "card": card}
        return http.post("/charges", json=body, headers={"Idempotency-Key": key}, timeout=timeout)

    return post


@pytest.fixture
def void(http: httpx.Client) -> Charge:
    return lambda key=KEY: http.put(f"/charges/{key}/void", timeout=10)


@pytest.fixture
def movements(http: httpx.Client) -> Callable[[], list[tuple[str, int]]]:
    return lambda: [(m["kind"], m["amount_cents"]) for m in http.get("/ledger").json()["movements"]]


def test_given_key_when_charged_twice_then_same_answer_and_one_charge(
    charge: Charge, movements: Any
) -> None:
    first, again = charge(), charge()
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert movements() == [("charge", 500)]


@pytest.mark.parametrize("other", [{"amount_cents": 501}, {"card": "tok_slow"}])
def test_given_key_when_used_with_another_body_then_422(
    charge: Charge, movements: Any, other: dict[str, Any]
) -> None:
    charge()
    assert charge(**other).status_code == 422
    assert movements() == [("charge", 500)]


def test_given_one_key_when_charged_by_eight_at_once_then_one_charge(
    charge: Charge, movements: Any, threads: ThreadPoolExecutor
) -> None:
    answers = list(threads.map(lambda _: charge(), range(8)))
    assert {a.status_code for a in answers} == {201}
    assert len({a.json()["charge_id"] for a in answers}) == 1
    assert movements() == [("charge", 500)]


def test_given_declined_card_when_charged_then_402_and_the_key_stays_declined(
    charge: Charge, void: Charge, movements: Any
) -> None:
    assert [charge("tok_declined").status_code for _ in range(2)] == [402, 402]
    assert void().json()["state"] == "declined"
    assert charge("tok_declined").status_code == 402
    assert movements() == []


def test_given_unknown_card_when_charged_then_422_and_the_key_is_free(
    charge: Charge, http: httpx.Client
) -> None:
    assert charge("tok_what").status_code == 422
    assert http.get(f"/charges/{KEY}").status_code == 404
    assert charge().status_code == 201


def test_given_charge_when_voided_repeatedly_then_one_refund_and_the_key_is_spent(
    charge: Charge, void: Charge, movements: Any
) -> None:
    charge()
    answers = [void() for _ in range(3)]
    assert {a.status_code for a in answers} == {200}
    assert answers[0].json() == answers[2].json()
    assert (answers[0].json()["state"], answers[0].json()["refunded_cents"]) == ("refunded", 500)
    assert charge().status_code == 409
    assert movements() == [("charge", 500), ("refund", 500)]


def test_given_unknown_key_when_voided_then_a_later_charge_is_409(
    charge: Charge, void: Charge, movements: Any
) -> None:
    assert [void().json()["state"] for _ in range(2)] == ["void", "void"]
    assert charge().status_code == 409
    assert movements() == []


def test_given_slow_charge_under_way_when_voided_then_it_is_refused_in_the_end(
    charge: Charge,
    void: Charge,
    movements: Any,
    threads: ThreadPoolExecutor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SUREFOOT_BANK_SLOW_SECONDS", "2")
    slow = threads.submit(charge, "tok_slow")
    assert void().json()["state"] == "void"
    assert slow.result(20).status_code == 409
    assert movements() == []


def test_given_charge_and_void_when_they_race_then_no_money_stays(
    charge: Charge, void: Charge, movements: Any, threads: ThreadPoolExecutor
) -> None:
    for n in range(8):
        key = f"job-{n}:charge_card::action"
        both = [threads.submit(charge, key=key), threads.submit(void, key)]
        assert [f.result(20).status_code for f in both] in ([201, 200], [409, 200])
    kinds = [kind for kind, _ in movements()]
    assert kinds.count("charge") == kinds.count("refund")


def test_given_lost_card_when_charged_then_no_answer_but_one_charge_and_an_answer_the_next_time(
    charge: Charge, http: httpx.Client, movements: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUREFOOT_BANK_HANG_SECONDS", "60")
    with pytest.raises(httpx.ReadTimeout):
        charge("tok_lost", timeout=httpx.Timeout(10, read=0.5))
    wait_until(
        lambda: http.get(f"/charges/{KEY}").json().get("state") == "settled",
        what="the bank to have charged",
    )
    assert charge("tok_lost", timeout=30).status_code == 201  # it does not hang again
    assert movements() == [("charge", 500)]


def test_given_locked_book_when_charged_then_503_and_a_time_to_try_again(
    charge: Charge, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy.exc import OperationalError

    from surefoot.workers.sagas.order.services import bank_book

    def locked(*_: Any, **__: Any) -> None:
        raise OperationalError("insert", {}, Exception("database is locked"))

    with monkeypatch.context() as patched:
        patched.setattr(bank_book, "charge", locked)
        answer = charge()
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    wait_until(lambda: charge().status_code == 201, what="the bank to charge again")


@ON_SQLITE
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 422),
        (b"[]", 422),
        (b'{"amount_cents": true, "card": "tok_ok"}', 422),
        (b'{"amount_cents": "5", "card": "tok_ok"}', 422),
        (b'{"amount_cents": 0, "card": "tok_ok"}', 422),
        (b'{"amount_cents": 5, "card": "tok_ok", "x": 1}', 422),
        (b"[" * 10_000, 422),
        (b"x" * 20_000, 413),
    ],
)
def test_given_bad_body_when_charged_then_a_problem(
    http: httpx.Client, body: bytes, status: int
) -> None:
    answer = http.post("/charges", content=body, headers={"Idempotency-Key": KEY})
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"


@ON_SQLITE
@pytest.mark.parametrize("key", ["", "a b", "a/b", "x" * 256])
def test_given_bad_key_when_charged_then_400(charge: Charge, key: str) -> None:
    assert charge(key=key).status_code == 400


@ON_SQLITE
def test_given_unknown_paths_when_asked_then_problems_and_livez_lives(http: httpx.Client) -> None:
    assert http.get("/livez").json() == {"status": "alive"}
    for method, path, status in (
        ("GET", "/what", 404),
        ("DELETE", "/charges/x", 405),
        ("GET", "/charges/x", 404),
    ):
        answer = http.request(method, path)
        assert (answer.status_code, answer.json()["status"]) == (status, status)
