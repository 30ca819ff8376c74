"""The bank as it really runs: a process of its own, under gunicorn."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from surefoot import Context
from surefoot.workers.sagas.order.services import bank_client, payment
from surefoot.workers.sagas.order.services.bank_client import BankUnclear
from tests.support.files import said_in
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

START = "from surefoot.workers.sagas.order.command_line import bank; bank([])"


@pytest.fixture
def bank_process(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "SUREFOOT_BANK_HANG_SECONDS": "60"}
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
