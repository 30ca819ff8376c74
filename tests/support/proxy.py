"""A link between two processes, on loopback: it can be cut, lose one direction, be slow or narrow, and heal.

What is lost is held back, as the network's own repeats would hold it, and comes late when the link heals; or never, when
the connections are reset then. Whoever speaks through it is answered by the proxy's own machine meanwhile, so a
time-out of TCP notices nothing: what does notice has to wait for an answer itself.
"""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
import time
from dataclasses import dataclass
from typing import Literal

Way = Literal["requests", "answers"]
BOTH: tuple[Way, Way] = ("requests", "answers")
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, no time: closing sends a reset
CHUNK = 16 * 1024


@dataclass(eq=False)
class Pair:
    """One connection: both its ends."""

    near: socket.socket
    far: socket.socket

    def reset(self) -> None:
        for end in (self.near, self.far):
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                end.shutdown(socket.SHUT_RD)  # or a thread that reads from it keeps it open
            with contextlib.suppress(OSError):
                end.close()


class Proxy:
    """Listens on a free port of the loopback (`port`), and passes on to `target` (may be said later). Whole from the start."""

    def __init__(self, target: int = 0) -> None:
        self.target = target
        self.passed = {"requests": 0, "answers": 0}  # bytes
        self._lost: frozenset[Way] = frozenset()
        self._down = self._ended = False
        self._delay_s = self._jitter_s = 0.0
        self._bytes_s = 0.0  # 0: no bound
        self._pairs: set[Pair] = set()
        self._state = threading.Condition()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    # --- mischief ----------------------------------------------------------------------------------------------------
    def cut(self) -> None:
        """Reset every connection, and every new one."""
        with self._state:
            self._down = True
        self.reset()

    def reset(self) -> None:
        """Reset the connections there are. New ones are welcome."""
        with self._state:
            pairs, self._pairs = self._pairs, set()
            self._state.notify_all()
        for pair in pairs:
            pair.reset()

    def lose(self, *ways: Way) -> None:
        """From now on nothing passes in these directions."""
        with self._state:
            self._lost = frozenset(ways)

    def slow(self, delay_s: float, jitter_s: float = 0.0, bytes_s: float = 0.0) -> None:
        """Each chunk takes `delay_s` give or take `jitter_s`, and its size over `bytes_s` (0: as fast as it goes)."""
        with self._state:
            self._delay_s, self._jitter_s, self._bytes_s = delay_s, jitter_s, bytes_s

    def heal(self) -> None:
        """Whole again. What was held back comes now."""
        with self._state:
            self._down, self._lost = False, frozenset()
            self._delay_s = self._jitter_s = self._bytes_s = 0.0
            self._state.notify_all()

    def close(self) -> None:
        self._ended = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.heal()
        self.reset()

    # --- passing on ----------------------------------------------------------------------------------------------------
    def _accept(self) -> None:
        while not self._ended:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._join, args=(near,), daemon=True).start()

    def _join(self, near: socket.socket) -> None:
        try:
            far = socket.create_connection(("127.0.0.1", self.target), timeout=5)
        except OSError:
            Pair(near, near).reset()
            return
        far.settimeout(None)
        pair = Pair(near, far)
        for end in (near, far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._state:
            welcome = not self._down and not self._ended
            if welcome:
                self._pairs.add(pair)
        if not welcome:
            pair.reset()
            return
        threading.Thread(target=self._pump, args=(pair, near, far, "requests"), daemon=True).start()
        threading.Thread(target=self._pump, args=(pair, far, near, "answers"), daemon=True).start()

    def _pump(self, pair: Pair, source: socket.socket, sink: socket.socket, way: Way) -> None:
        try:
            while data := source.recv(CHUNK):
                if not self._let_through(pair, way, len(data)):
                    return
                self.passed[way] += len(data)  # before whoever hears it can ask
                sink.sendall(data)
            if self._let_through(pair, way, 0):
                sink.shutdown(socket.SHUT_WR)
        except OSError:
            self._forget(pair)
            return
        if way == "answers":
            self._forget(pair)

    def _forget(self, pair: Pair) -> None:
        with self._state:
            self._pairs.discard(pair)
        pair.reset()

    def _let_through(self, pair: Pair, way: Way, size: int) -> bool:
        """Wait until it may pass; whether the connection is still there then."""
        with self._state:
            takes_s = max(0.0, self._delay_s + random.uniform(-1, 1) * self._jitter_s)
            takes_s += size / self._bytes_s if self._bytes_s else 0.0
            until = time.monotonic() + takes_s
            while pair in self._pairs and (left_s := until - time.monotonic()) > 0:
                self._state.wait(left_s)
            self._state.wait_for(lambda: way not in self._lost or pair not in self._pairs)
            return pair in self._pairs
