"""A bank that does what it is asked and then misbehaves: it stands before the real one, whose book stays the truth."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import httpx

from tests.support.ports import free_port
from tests.support.running import ROOT
from tests.support.waiting import wait_until

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, no time: closing sends a reset
PATIENCE_S = 30.0


class RogueBank:
    """`does`: (what is asked, amount in cents) -> mischief and how often for each key. "charge" and "void" can be spoiled.

    hang: done, and no answer; reset: done, and the connection is reset; error: done, and the answer is 500; half: done,
    and half of the answer comes; down: not done, 503.
    """

    def __init__(self, real_url: str, does: dict[tuple[str, int], tuple[str, int]]) -> None:
        self.does = does
        self.spoiled: Counter[tuple[str, str]] = Counter()  # (what, key) -> how often
        self.asked: Counter[tuple[str, str]] = Counter()
        self._amounts: dict[str, int] = {}
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._real = httpx.Client(base_url=real_url, trust_env=False, timeout=10)
        bank = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                bank.answer(self)

            def do_POST(self) -> None:
                bank.answer(self)

            def do_PUT(self) -> None:
                bank.answer(self)

            def log_message(self, *_: object) -> None:
                return None

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                return None  # who was reset or hung up on complains

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._end.set()
        self._server.shutdown()
        self._server.server_close()
        self._real.close()

    def mend(self) -> None:
        self.does = {}

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        mischief = self._mischief(request, body)
        if mischief == "down":
            self._say(request, 503, b"{}")
            return
        kept = {
            name: value
            for name, value in request.headers.items()
            if name in ("Content-Type", "Idempotency-Key")
        }
        done = self._real.request(request.command, request.path, content=body, headers=kept)
        connection: socket.socket = request.connection
        if mischief == "hang":
            self._end.wait(PATIENCE_S)
        elif mischief == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            request.close_connection = True
            connection.close()
        elif mischief == "error":
            self._say(request, 500, b'{"detail": "something went wrong"}')
        elif mischief == "half":
            self._say(request, done.status_code, done.content, half=True)
        else:
            self._say(request, done.status_code, done.content)

    def _mischief(self, request: BaseHTTPRequestHandler, body: bytes) -> str:
        what = {"POST": "charge", "PUT": "void"}.get(request.command, "look")
        key = request.headers.get("Idempotency-Key") or unquote(
            request.path.split("/")[2] if request.path.startswith("/charges/") else ""
        )
        with self._lock:
            if what == "charge":
                self._amounts[key] = json.loads(body)["amount_cents"]
            mischief, times = self.does.get((what, self._amounts.get(key, 0)), ("", 0))
            self.asked[what, key] += 1
            if self.spoiled[what, key] >= times:
                return ""
            self.spoiled[what, key] += 1
        return mischief

    @staticmethod
    def _say(
        request: BaseHTTPRequestHandler, status: int, content: bytes, half: bool = False
    ) -> None:
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content[: len(content) // 2] if half else content)
        request.close_connection = True


@contextmanager
def rogue_bank(home: Path, does: dict[tuple[str, int], tuple[str, int]]) -> Iterator[RogueBank]:
    """The real bank of this home in a process of its own, and the rogue one before it."""
    home.mkdir(parents=True, exist_ok=True)
    port = free_port()
    environment = {**os.environ, "SUREFOOT_HOME": str(home), "PYTHONPATH": str(ROOT)}
    with (home / "real_bank.log").open("wb") as log:
        real = subprocess.Popen(
            [sys.executable, "-m", "surefoot.app.cli", "bank", "--port", str(port)],
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    rogue = RogueBank(f"http://127.0.0.1:{port}", does)
    try:
        wait_until(lambda: _lives(port), 60, what="the bank to answer")
        yield rogue
    finally:
        rogue.close()
        real.terminate()
        real.wait(60)


def _lives(port: int) -> bool:
    try:
        return (
            httpx.get(f"http://127.0.0.1:{port}/livez", timeout=2, trust_env=False).status_code
            == 200
        )
    except httpx.TransportError:
        return False
