from __future__ import annotations

import os
import threading
from time import sleep

import pytest
from werkzeug.serving import BaseWSGIServer

from surefoot import Context, NothingSent
from surefoot.workers.sagas.order.saga import order
from surefoot.workers.sagas.order.services import bank_client, inventory

CHARGE = Context(job_id="job-1", saga="order", step="charge_card")


def test_given_test_environment_when_entered_then_services_and_bank_are_its_own_and_gone_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SUREFOOT_ORDER_DATABASE_URL", "sqlite:////nonexistent/real.sqlite")
    monkeypatch.delenv("SUREFOOT_BANK_URL", raising=False)
    assert order.world is not None

    with order.world() as own:
        assert bank_client.charge(CHARGE, 100, "tok_ok").state == "settled"
        assert all(row.on_hand == row.initial > 1000 for row in inventory.all_stock())
        assert own.disagreements(settled=False) == [
            "Job job-1 has no order, but 100 cents were charged."
        ]
        told = {
            name: os.environ[name]
            for name in ("SUREFOOT_INVENTORY_DATABASE_URL", "SUREFOOT_MAIL", "SUREFOOT_BANK_URL")
        }

    assert os.environ["SUREFOOT_ORDER_DATABASE_URL"] == "sqlite:////nonexistent/real.sqlite"
    assert "SUREFOOT_BANK_URL" not in os.environ
    assert not os.path.exists(told["SUREFOOT_INVENTORY_DATABASE_URL"].removeprefix("sqlite:///"))


def test_given_outage_of_payments_when_bank_is_called_then_nothing_was_sent_and_it_comes_back_under_its_url() -> (
    None
):
    assert order.world is not None
    with order.world() as own:
        assert own.outage("inventory") is None
        with own.outage("payments"), pytest.raises(NothingSent):
            bank_client.charge(CHARGE, 100, "tok_ok")
        assert bank_client.charge(CHARGE, 100, "tok_ok").state == "settled"


def test_given_bank_whose_thread_is_slow_to_close_when_taken_away_then_its_port_is_kept_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    close = BaseWSGIServer.server_close

    def slow_in_its_thread(server: BaseWSGIServer) -> None:
        if threading.current_thread() is not threading.main_thread():
            listening = (
                server.socket.detach()
            )  # as `close` does, which lets other threads run before it is through
            sleep(0.1)
            os.close(listening)
        close(server)

    monkeypatch.setattr(BaseWSGIServer, "server_close", slow_in_its_thread)
    assert order.world is not None
    with order.world() as own:
        with own.outage("payments"), pytest.raises(NothingSent):
            bank_client.charge(CHARGE, 100, "tok_ok")
        assert bank_client.charge(CHARGE, 100, "tok_ok").state == "settled"
