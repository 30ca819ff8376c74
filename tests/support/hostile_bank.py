"""A bank on a bare socket that answers whatever a test says, byte by byte: what no server of a
library would send.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

Answer = Callable[["HostileBank"], Iterable[bytes]]
PATIENCE_S = 20.0


class HostileBank:
    """`answer`: pieces of bytes for one connection. `sent`: how many bytes left; `asked`: the heads
    of requests.
    """

    def __init__(self) -> None:
        self.answer: Answer = lambda _: ()
        self.sent = 0
        self.asked: list[str] = []
        self._end = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._end.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(PATIENCE_S)

    def pause(self, seconds: float) -> bool:
        """Between two pieces. False: the test is over."""
        return not self._end.wait(seconds)

    def _serve(self) -> None:
        while not self._end.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve_one, args=(connection,), daemon=True).start()

    def _serve_one(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):  # the caller has had enough
            connection.settimeout(PATIENCE_S)
            self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(65536)
        text, _, body = head.decode().partition("\r\n\r\n")
        self.asked.append(text)
        length = int(text.lower().partition("content-length: ")[2].partition("\r\n")[0] or 0)
        while len(body) < length:
            body += connection.recv(65536).decode()
        for piece in self.answer(self):
            connection.sendall(piece)
            self.sent += len(piece)


def said(status: int, body: Any, *headers: str) -> Answer:
    """A whole answer. `body`: bytes as they are, or what is to be JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [
        f"HTTP/1.1 {status} X",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
        *headers,
    ]
    return lambda _: ["\r\n".join([*lines, "", ""]).encode() + content]


def dripped(start: bytes, piece: bytes, every_s: float = 0.05) -> Answer:
    """`start`, then `piece` again and again: never silent for long, and never done."""

    def pieces(bank: HostileBank) -> Iterator[bytes]:
        yield start
        while bank.pause(every_s):
            yield piece

    return pieces


def poured(start: bytes, piece: bytes, times: int) -> Answer:
    """`start`, then `piece` so many times, as fast as it is taken."""

    def pieces(_: HostileBank) -> Iterator[bytes]:
        yield start
        for _n in range(times):
            yield piece

    return pieces


@contextmanager
def hostile_bank() -> Iterator[HostileBank]:
    bank = HostileBank()
    try:
        yield bank
    finally:
        bank.close()
