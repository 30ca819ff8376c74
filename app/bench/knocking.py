"""Many keep-alive connections from one thread: each sends its next request as soon as it has its
answer.

Raw sockets and as little as can be read of an answer, some twenty microseconds each, so that the
server is what is measured.
"""

from __future__ import annotations

import itertools
import re
import selectors
import socket
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

CONNECT_S = 5.0
SILENT_S = 10.0  # a server that says nothing for so long is lost
CHUNK_BYTES = 1 << 16
_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
BODILESS = (b"204", b"304")


class ServerLost(OSError):
    """The server closed a connection or said nothing."""


@dataclass
class _Connection:
    """`read`: what has come of the answer it waits for."""

    socket: socket.socket
    read: bytes = b""


@dataclass
class Knocked:
    """`statuses`: how many answers of each status."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)

    @property
    def answers(self) -> int:
        return self.statuses.total()


def request(path: str, host: str, headers: dict[str, str]) -> bytes:
    """A GET as bytes."""
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def knock(
    host: str, port: int, requests: Sequence[bytes], connections: int, seconds: float
) -> Knocked:
    """Send these requests in turn for so long, over so many connections at once.

    Raises: ServerLost; OSError.
    """
    found, turn = Knocked(), itertools.cycle(requests)
    opened = [
        _Connection(socket.create_connection((host, port), CONNECT_S)) for _ in range(connections)
    ]
    with selectors.DefaultSelector() as selector:
        try:
            began = time.perf_counter()
            until = began + seconds
            for one in opened:
                one.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(one.socket, selectors.EVENT_READ, one)
                one.socket.sendall(next(turn))
            waiting = connections
            while waiting:
                ready = selector.select(SILENT_S)
                if not ready:
                    raise ServerLost(f"no answer within {SILENT_S:g} s")
                for key, _ in ready:
                    one = key.data
                    more = one.socket.recv(CHUNK_BYTES)
                    if not more:
                        raise ServerLost("it closed a connection")
                    one.read += more
                    status = whole(one.read)
                    if status is None:
                        continue
                    found.statuses[status] += 1
                    one.read = b""
                    if time.perf_counter() < until:
                        one.socket.sendall(next(turn))
                    else:
                        waiting -= 1
            found.seconds = time.perf_counter() - began
        finally:
            for one in opened:
                one.socket.close()
    return found


def whole(answer: bytes) -> int | None:
    """The status of an answer that is all here; None while it is not."""
    end = answer.find(b"\r\n\r\n")
    if end < 0:
        return None
    status = answer[9:12]
    if status not in BODILESS:
        length = _LENGTH.search(answer, 0, end)
        if length is not None and len(answer) < end + 4 + int(length.group(1)):
            return None
    return int(status)
