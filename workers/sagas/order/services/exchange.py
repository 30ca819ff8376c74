"""One HTTP request and its answer, within a time and a size that the other side cannot stretch.

The hazard: a client's time-outs hold for each read, and its limits for the body alone. A server
that drips its head, says `100 Continue` for ever, or packs gigabytes into a small answer keeps
the caller as long as it likes. So every read and write of the connection has what is left until
one deadline, every byte that comes counts, head included, and nothing is unpacked. A connection
is for one exchange: one kept open may be closed by the other side just as it is used, and that
looks like an unknown outcome.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import httpcore

HEAD_BYTES = 32 * 1024  # of an answer, beside its body


class NotSent(Exception):
    """No connection came about: nothing was sent."""


class Unclear(Exception):
    """Something was sent, and no whole answer came back within time and size."""


@dataclass(frozen=True)
class Request:
    """`url`: whole, without user or password. `timeout_s`: for the whole exchange, seconds.
    `longest`: bytes of a body.
    """

    method: str
    url: str
    timeout_s: float
    longest: int
    content: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def exchange(request: Request) -> tuple[int, bytes]:
    """Returns: status and body, as it came. Raises: NotSent, Unclear."""
    wire = _Wire(time.monotonic() + request.timeout_s, HEAD_BYTES + request.longest)
    pool = httpcore.ConnectionPool(
        ssl_context=_tls() if request.url.startswith("https") else None,
        max_keepalive_connections=0,
        network_backend=wire,
    )
    headers = [("Accept-Encoding", "identity"), ("Connection", "close"), *request.headers.items()]
    try:
        with (
            pool,
            pool.stream(
                request.method, request.url, headers=headers, content=request.content
            ) as answer,
        ):
            return answer.status, _body(answer, request.longest)
    except (httpcore.ConnectError, httpcore.ConnectTimeout, httpcore.UnsupportedProtocol) as error:
        raise NotSent(str(error) or type(error).__name__) from error
    except httpcore.TimeoutException as error:
        raise Unclear(f"no whole answer within {request.timeout_s:g} s") from error
    except (httpcore.NetworkError, httpcore.ProtocolError) as error:
        raise Unclear(f"the connection broke: {error}") from error


def _body(answer: httpcore.Response, longest: int) -> bytes:
    content = bytearray()
    for piece in answer.iter_stream():
        content += piece
        if len(content) > longest:
            raise Unclear(f"the answer is longer than {longest} bytes")
    return bytes(content)


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    return httpcore.default_ssl_context()  # dear to make: certificates are read


class _Wire(httpcore.NetworkBackend):
    """Opens connections on which all that is done ends by `deadline`, and that bring `most` bytes
    at most.
    """

    def __init__(self, deadline: float, most: int) -> None:
        self._deadline, self._most, self._came = deadline, most, 0
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        left = self.left(httpcore.ConnectTimeout)
        return _Line(self._plain.connect_tcp(host, port, left, local_address, socket_options), self)

    def left(self, late: type[httpcore.TimeoutException]) -> float:
        """Seconds until the deadline. Raises: `late` past it."""
        seconds = self._deadline - time.monotonic()
        if seconds <= 0:
            raise late("the time for the whole exchange is over")
        return seconds

    def count(self, count: int) -> None:
        self._came += count
        if self._came > self._most:
            raise Unclear(f"the answer, with its head, is longer than {self._most} bytes")


class _Line(httpcore.NetworkStream):
    """A connection of a _Wire."""

    def __init__(self, stream: httpcore.NetworkStream, wire: _Wire) -> None:
        self._stream, self._wire = stream, wire

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        came = self._stream.read(max_bytes, self._wire.left(httpcore.ReadTimeout))
        self._wire.count(len(came))
        return came

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._wire.left(httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left = self._wire.left(httpcore.ConnectTimeout)
        return _Line(self._stream.start_tls(ssl_context, server_hostname, left), self._wire)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
