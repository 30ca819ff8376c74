"""Ports that we choose: outside the kernel's range, and left when somebody else has them."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from surefoot.app.supervisor import ports, stack
from surefoot.app.supervisor.part import Part
from surefoot.app.supervisor.supervisor import PortTaken, Supervisor


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", ports.any_free()))
        server.listen()
        yield server


@pytest.mark.parametrize(
    ("said", "first", "last"),
    [
        ("32768\t60999\n", ports.FIRST, 32767),
        ("1024 60999", 61000, 65535),
        ("1024 65535", ports.FIRST, 65535),
        ("", ports.FIRST, 49151),
    ],
)
def test_given_the_kernel_s_range_when_a_port_is_chosen_then_it_lies_outside_the_kernel_s_range(
    said: str, first: int, last: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "range").write_text(said)
    monkeypatch.setattr(ports, "KERNEL_S", tmp_path / "range")
    ours = ports.ours_to_choose()
    assert (ours[0], ours[-1]) == (first, last)
    assert ports.any_free() in ours


def test_given_a_port_that_somebody_has_when_asked_then_it_is_told_who(
    listener: socket.socket,
) -> None:
    told = ports.holder(listener.getsockname()[1])
    assert f"pid {os.getpid()}" in told
    assert "listens" in told
    assert ports.holder(ports.any_free()) == ""


def test_given_the_last_port_of_a_broker_that_somebody_has_when_started_then_said_and_another_one(
    listener: socket.socket, tmp_path: Path
) -> None:
    said: list[str] = []
    held = listener.getsockname()[1]
    part, port, url = stack.broker(tmp_path, "word", held, said.append)
    assert port != held
    assert part.port == port
    assert f":{port}/" in url
    assert f"port {held} of the broker is held by pid {os.getpid()}" in said[0]
    assert stack.broker(tmp_path, "word", port, said.append)[1] == port, "one that is free is kept"
    assert stack.broker(tmp_path, "word", 60998, said.append)[1] != 60998, (
        "one of the kernel's is not"
    )


def test_given_a_part_that_cannot_come_back_on_its_port_when_watched_then_who_holds_it_is_told(
    listener: socket.socket, tmp_path: Path
) -> None:
    kept = [
        (number, signal.getsignal(number))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    ]
    port = listener.getsockname()[1]
    supervisor = Supervisor(tmp_path, os.environ, lambda _: None)
    try:
        supervisor.start(
            Part(
                "broker",
                (sys.executable, "-c", "raise SystemExit(1)"),
                0,
                ready=lambda _: False,
                port=port,
            )
        )
        with pytest.raises(PortTaken, match=f"port {port} of broker is held by pid {os.getpid()}"):
            supervisor.watch()
        assert supervisor.children[0].starts == 3
    finally:
        supervisor.stop()
        for number, handler in kept:
            signal.signal(number, handler)
