"""The bank as it really runs: a process of its own, under gunicorn."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from surefoot import Context
from surefoot.workers.sagas.order.services import bank_client, payment
from surefoot.workers.sagas.order.services.bank_client import BankUnclear
from tests.support.files import said_in
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

START = "from surefoot.workers.sagas.order.command_line import bank; bank([])"

HEAD_S, BODY_S, SOON_S, PATIENT_S = 2.0, 3.0, 5.0, 60.0
MANY = 20  # sockets of a kind; more than twice the threads
HEAD = "HTTP/1.1\r\nHost: bank\r\nContent-Type: application/json\r\nIdempotency-Key: k\r\n"


@pytest.fixture
def bank_process(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "SUREFOOT_BANK_HANG_SECONDS": "60"}
    environment |= {"SUREFOOT_HEAD_SECONDS": str(HEAD_S), "SUREFOOT_BODY_SECONDS": str(BODY_S)}
    process = subprocess.Popen(
        [sys.executable, "-c", START], env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        said_in(home / "bank.url", "the bank to say where it is")
        yield process
    finally:
        process.kill()
        process.communicate(timeout=20)


def test_given_bank_on_a_free_port_when_paid_then_it_is_found_and_its_book_outlives_it(
    home: Path, bank_process: subprocess.Popen[str]
) -> None:
    payment.charge(Context("job-1", "order", "charge_card"), 1, 500, "tok_ok")
    assert [m.kind for m in bank_client.book().movements] == ["charge"]
    assert (home / "bank.sqlite").exists()
    bank_process.send_signal(signal.SIGTERM)
    assert bank_process.wait(20) == 0
    assert bank_process.stdout is not None
    assert bank_process.stdout.read().startswith("The bank listens on http://127.0.0.1:")


@pytest.mark.usefixtures("bank_process")
def test_given_twenty_lost_answers_at_once_when_others_ask_then_they_are_answered(
    threads: ThreadPoolExecutor, monkeypatch: Any
) -> None:
    monkeypatch.setenv("SUREFOOT_BANK_TIMEOUT_SECONDS", "2")

    def lose(n: int) -> None:
        with pytest.raises(BankUnclear):
            payment.charge(Context(f"job-{n}", "order", "charge_card"), n, 500, "tok_lost")

    lost = [threads.submit(lose, n) for n in range(20)]
    wait_until(
        lambda: len(bank_client.book().movements) >= 8, what="the bank to take the first charges"
    )
    assert httpx.get(bank_client.order_settings().bank() + "/livez", timeout=20).status_code == 200
    for future in lost:
        future.result(30)
    monkeypatch.setenv("SUREFOOT_BANK_TIMEOUT_SECONDS", "20")
    assert {bank_client.look(f"job-{n}:charge_card::action").state for n in range(20)} == {
        "settled"
    }  # type: ignore[union-attr]
    assert len(bank_client.book().movements) == 20


@pytest.mark.usefixtures("bank_process")
def test_given_silent_sockets_and_dripped_heads_and_bodies_when_paid_then_in_time() -> None:
    parts = urlsplit(bank_client.order_settings().bank())
    begun = ["", "P", f"POST /charges {HEAD}Content-Length: 1000\r\n\r\n{{"]
    with ExitStack() as stack:
        silent, *slow = [
            [stack.enter_context(connected(parts.hostname, parts.port, said)) for _ in range(MANY)]
            for said in begun
        ]
        dripped, number, began = [*slow[0], *slow[1]], 0, time.monotonic()
        while not all(map(is_over, [*silent, *dripped])):
            for one in dripped:
                with suppress(OSError):
                    one.send(b"x")
            number, asked = number + 1, time.monotonic()
            payment.charge(Context(f"job-{number}", "order", "charge_card"), number, 500, "tok_ok")
            assert time.monotonic() - asked < SOON_S
            assert time.monotonic() - began < PATIENT_S
        assert {one.recv(100) for one in silent} == {b""}
        assert {one.recv(13) for one in dripped} == {b"HTTP/1.1 408 "}


def connected(host: str | None, port: int | None, said: str) -> socket.socket:
    sock = socket.create_connection((host, port or 0), timeout=PATIENT_S)
    sock.sendall(said.encode())
    return sock


def is_over(sock: socket.socket) -> bool:
    """Whether the server has answered or closed."""
    return bool(select.select([sock], [], [], 0)[0])


NOT_CHARGES: dict[bytes, int] = {
    b"": 422,
    b"{": 422,
    b"[" * 10_000: 422,
    b"\xff\xfe\x00": 422,
    b"null": 422,
    b'{"amount_cents": 1e400, "card": "tok_ok"}': 422,
    b'{"amount_cents": -1, "card": "tok_ok"}': 422,
    b'{"amount_cents": true, "card": "tok_ok"}': 422,
    b'{"amount_cents": 1, "card": "tok_ok", "more": 1}': 422,
    b'{"amount_cents": 1, "card": "' + b"x" * 100 + b'"}': 422,
    b'{"amount_cents": 1, "card": "' + b"x" * 3_000_000 + b'"}': 413,
}


@pytest.mark.usefixtures("bank_process")
def test_given_a_body_that_is_not_a_charge_when_sent_then_refused_and_nothing_is_in_the_book() -> (
    None
):
    url = bank_client.order_settings().bank()
    told = {"Content-Type": "application/json", "Idempotency-Key": "k"}
    with httpx.Client(base_url=url, headers=told, timeout=PATIENT_S) as http:
        for sent, status in NOT_CHARGES.items():
            answer = http.post("/charges", content=sent)
            found = (answer.status_code, answer.json()["status"])
            assert found == (status, status), sent[:80]
        keyless = http.post("/charges", content=b"{}", headers={"Idempotency-Key": "a b"})
        assert keyless.status_code == 400
        slashed = http.put("/charges/a%2Fb/void")
        assert slashed.status_code in (400, 404)
    assert bank_client.book().movements == []


@pytest.mark.long  # gunicorn tries for five seconds
def test_given_port_taken_when_another_bank_starts_then_it_ends_with_an_error(
    home: Path, bank_process: subprocess.Popen[str]
) -> None:
    url = said_in(home / "bank.url", "the bank's address")
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "SUREFOOT_BANK_URL": url}
    second = subprocess.run(
        [sys.executable, "-c", START], env=environment, capture_output=True, text=True, timeout=60
    )
    assert second.returncode != 0
    assert "in use" in second.stderr
    assert bank_process.poll() is None
