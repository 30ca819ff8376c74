"""The link that other tests cut: does it what it says?"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.support.proxy import BOTH, Proxy, Way
from tests.support.waiting import wait_until

SOON_S = 0.3


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that says what it hears; its port."""
    server = socket.create_server(("127.0.0.1", 0))

    def answer(connection: socket.socket) -> None:
        try:
            while data := connection.recv(65536):
                connection.sendall(data)
        except OSError:
            pass
        finally:
            connection.close()

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield server.getsockname()[1]
    server.shutdown(socket.SHUT_RDWR)
    server.close()


@pytest.fixture
def link(echo: int) -> Iterator[Proxy]:
    proxy = Proxy(echo)
    yield proxy
    proxy.close()


@pytest.fixture
def client(link: Proxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", link.port), timeout=10) as connected:
        assert said(connected, b"hello") == b"hello"
        yield connected


def said(connection: socket.socket, words: bytes) -> bytes:
    connection.sendall(words)
    heard = b""
    while len(heard) < len(words):
        if not (more := connection.recv(65536)):
            break
        heard += more
    return heard


def test_given_whole_link_when_much_is_said_then_it_comes_as_it_went(client: socket.socket) -> None:
    words = bytes(range(256)) * 200
    assert said(client, words) == words


def test_given_end_of_one_side_then_the_other_side_hears_of_it(client: socket.socket) -> None:
    client.shutdown(socket.SHUT_WR)
    assert client.recv(10) == b""


def test_given_cut_link_then_connections_are_reset_and_new_ones_too_until_it_heals(
    link: Proxy, client: socket.socket
) -> None:
    link.cut()
    with pytest.raises(ConnectionResetError):
        client.recv(10)
    with (
        pytest.raises(ConnectionError),
        socket.create_connection(("127.0.0.1", link.port), timeout=10) as other,
    ):
        other.sendall(b"anybody there?")
        if other.recv(10) == b"":
            raise ConnectionResetError
    link.heal()
    with socket.create_connection(("127.0.0.1", link.port), timeout=10) as other:
        assert said(other, b"back") == b"back"


@pytest.mark.parametrize("ways", [("requests",), ("answers",), BOTH])
def test_given_direction_that_is_lost_then_silence_and_what_was_held_back_comes_when_it_heals(
    link: Proxy, client: socket.socket, ways: tuple[Way, ...]
) -> None:
    link.lose(*ways)
    client.sendall(b"late")
    if "requests" not in ways:
        wait_until(
            lambda: link.passed["requests"] == len(b"hellolate"), what="the request to arrive"
        )
    client.settimeout(SOON_S)
    with pytest.raises(TimeoutError):
        client.recv(10)
    assert link.passed == {"requests": 9 if "requests" not in ways else 5, "answers": 5}
    client.settimeout(10)
    link.heal()
    assert client.recv(10) == b"late"


def test_given_black_hole_when_reset_then_nothing_of_it_ever_comes(
    link: Proxy, client: socket.socket
) -> None:
    link.lose(*BOTH)
    client.sendall(b"never")
    link.reset()
    with pytest.raises(ConnectionResetError):
        client.recv(10)
    link.heal()
    assert link.passed == {"requests": 5, "answers": 5}


def test_given_slow_link_then_there_and_back_takes_at_least_twice_its_delay(
    link: Proxy, client: socket.socket
) -> None:
    link.slow(0.2, jitter_s=0.05)
    before = time.monotonic()
    assert said(client, b"slowly") == b"slowly"
    assert time.monotonic() - before >= 0.3


def test_given_narrow_link_then_much_takes_as_long_as_its_width_says(
    link: Proxy, client: socket.socket
) -> None:
    link.slow(0, bytes_s=64_000)
    before = time.monotonic()
    assert said(client, b"x" * 16_000) == b"x" * 16_000
    assert time.monotonic() - before >= 0.45
