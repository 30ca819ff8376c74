from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest

from surefoot import NothingSent, Rejected
from surefoot.app.participant import EffectState
from surefoot.workers.sagas.order.services import mail


def test_given_folder_when_sent_repeatedly_and_at_once_then_one_whole_mail(
    home: Path, context: Any, request_of: Any, threads: ThreadPoolExecutor
) -> None:
    receipts = set(
        threads.map(
            lambda n: mail.send_receipt(context("send_receipt", attempt=n), request_of()), range(8)
        )
    )
    assert len(receipts) == 1
    files = list((home / "mail").iterdir())
    assert [file.name for file in files] == ["job-1%3Asend_receipt%3A%3Aaction.eml"]
    message = message_from_bytes(files[0].read_bytes())
    assert message["To"] == "ada@example.org"
    assert message["Message-ID"] == receipts.pop().message_id
    assert "3 x apple" in message.get_payload()
    assert mail.receipts_by_job() == {"job-1": 1}


def test_given_mails_when_read_as_effects_then_those_that_lie_there(
    home: Path, context: Any, request_of: Any
) -> None:
    assert mail.receipts_by_job() == {}
    mail.send_receipt(context("send_receipt"), request_of(customer="Zoë 🦊"))
    seen = mail.seen(["job-1:send_receipt::action", "job-2:send_receipt::action"])
    assert [(s.key, s.state) for s in seen] == [("job-1:send_receipt::action", EffectState.DONE)]


class _Smtp(socketserver.StreamRequestHandler):
    """As much of a mail server as a client asks for."""

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        while line := self.rfile.readline():
            word = line.split()[0].upper() if line.split() else b""
            if word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                lines: list[bytes] = []
                while (line := self.rfile.readline()) != b".\r\n":
                    lines.append(line)
                self.server.mails.append(b"".join(lines))  # type: ignore[attr-defined]
            refused = word == b"RCPT" and b"gone@" in line
            self.wfile.write(b"550 no such box\r\n" if refused else b"250 fine\r\n")
            if word == b"QUIT":
                return


@pytest.fixture
def mails(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Smtp) as server:
        server.mails = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        monkeypatch.setenv("SUREFOOT_MAIL", f"smtp://127.0.0.1:{server.server_address[1]}")
        yield server.mails  # type: ignore[attr-defined]
        server.shutdown()
        thread.join(20)


def test_given_server_when_sent_twice_then_two_mails_of_one_message_id(
    mails: list[bytes], context: Any, request_of: Any
) -> None:
    receipts = {mail.send_receipt(context("send_receipt", attempt=n), request_of()) for n in (1, 2)}
    assert len(receipts) == 1
    assert [message_from_bytes(m)["Message-ID"] for m in mails] == [receipts.pop().message_id] * 2
    assert mail.receipts_by_job() is None
    assert mail.seen(["k"])[0].state is EffectState.UNKNOWN


def test_given_address_refused_when_sent_then_rejected(
    mails: list[bytes], context: Any, request_of: Any
) -> None:
    with pytest.raises(Rejected):
        mail.send_receipt(context("send_receipt"), request_of(email="gone@example.org"))
    assert mails == []


def test_given_no_server_when_sent_then_nothing_was_sent(
    home: Path, monkeypatch: pytest.MonkeyPatch, context: Any, request_of: Any
) -> None:
    monkeypatch.setenv("SUREFOOT_MAIL", "smtp://127.0.0.1:1")
    with pytest.raises(NothingSent):
        mail.send_receipt(context("send_receipt"), request_of())
