"""An answer on its way: taken from its thread at once, whatever its reader does."""

from __future__ import annotations

import select
import socket
from collections import deque


class Outgoing:
    """What gunicorn writes to in place of the socket. `waiting`: bytes that the socket has not
    taken yet."""

    def __init__(self, sock: socket.socket) -> None:
        self.waiting = 0
        self.sent = 0
        self.broken = False
        self._sock = sock
        self._rest: deque[memoryview] = deque()

    def sendall(self, data: bytes) -> None:
        """Raises: OSError when the peer is gone."""
        self._rest.append(memoryview(data))
        self.waiting += len(data)
        self.flush()

    def send(self, data: bytes) -> int:
        self.sendall(data)
        return len(data)

    def flush(self) -> None:
        """Give the socket what it takes without waiting. Raises: OSError when the peer is gone."""
        while self._rest:
            try:
                taken = self._sock.send(self._rest[0], socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            self.waiting -= taken
            self.sent += taken
            rest = self._rest.popleft()[taken:]
            if rest:
                self._rest.appendleft(rest)

    def shutdown(self, how: int) -> None:
        """gunicorn ends an answer that failed half way. The loop does it, for it may have to
        wait."""
        raise OSError("ended by the loop")

    def close(self) -> None:
        self.broken = True

    # --- for an application that wants to know of its peer: WSGI's `gunicorn.socket` --------------
    def has_hung_up(self) -> bool:
        """Whether the peer has closed the connection."""
        try:
            readable, _, _ = select.select([self._sock], [], [], 0)
            return bool(readable) and self._sock.recv(1, socket.MSG_PEEK) == b""
        except OSError:
            return True

    def hang_up(self) -> None:
        """Close the connection on both sides: the answer is lost."""
        self._sock.shutdown(socket.SHUT_RDWR)
