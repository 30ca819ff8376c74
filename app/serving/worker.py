"""gunicorn's threaded worker, whose loop waits for peers so that its threads do not.

What is used of gunicorn beside its documented hooks: `accept`, `finish_request`,
`murder_keepalived` and `handle_request` of its ThreadWorker, all overridden here, and
`_expected_100_continue` of a request.
"""

from __future__ import annotations

import errno
import selectors
import socket
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

from gunicorn.http.body import Body, LengthReader
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, ThreadWorker

from surefoot.app.config import settings
from surefoot.app.metrics.counters import CONNECTIONS_ENDED
from surefoot.app.serving import refusals
from surefoot.app.serving.connection import Connection, Patience, Wait
from surefoot.app.serving.incoming import Incoming
from surefoot.app.serving.outgoing import Outgoing
from surefoot.app.serving.peers import is_trusted

LOOK_S = 0.25  # how often the ends of waits are looked at
READ_BYTES = 64 * 1024  # of one connection at a time, so that the others have their turn
# a body up to it is always kept; larger ones, and answers that wait, share the room
SMALL_BYTES = 64 * 1024
ROOM_BYTES = 64 * 1024 * 1024
# of a body that nobody reads, so that its sender gets to read the answer
DRAIN_BYTES = 64 * 1024 * 1024
PASSING = (errno.EAGAIN, errno.EWOULDBLOCK, errno.ECONNABORTED)
FULL = (errno.EMFILE, errno.ENFILE)


@dataclass(frozen=True)
class Facing:
    """What gunicorn sees of a connection while it makes an answer."""

    sock: Outgoing
    client: Any
    server: Any


class BufferingWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """See the package. All methods but `handle_request` are called in the loop's thread."""

    def init_process(self) -> None:
        told = settings()
        self.patience = Patience.of(told)
        self.worker_connections = told.connections
        self._most_of_address, self._proxies = told.address_connections, told.trusted_proxies
        self._body_bytes = told.body_bytes
        self._waiting: set[Connection] = set()
        self._of_address: Counter[str] = Counter()
        self._room = ROOM_BYTES
        self._next_look = 0.0
        super().init_process()

    # --- connections ------------------------------------------------------------------------------
    def accept(self, listener: socket.socket) -> None:
        try:
            sock, client = listener.accept()
        except OSError as error:
            if error.errno in FULL:
                self._make_room()
            elif error.errno not in PASSING:
                raise
            return
        if self._is_crowded(client[0]):
            CONNECTIONS_ENDED.add(why="address")
            sock.close()
            return
        conn = Connection(self.cfg, sock, client, listener.getsockname())
        self.nr_conns += 1
        self._of_address[client[0]] += 1
        if self.nr_conns >= self.worker_connections:
            self._make_room()
        self._await_request(conn)

    def _is_crowded(self, address: str) -> bool:
        return self._of_address[address] >= self._most_of_address and not is_trusted(
            address, self._proxies
        )

    def _make_room(self) -> None:
        """Close the connection that has been waiting for longest without a request."""
        idle = [conn for conn in self._waiting if conn.wait in (Wait.SILENT, Wait.HEAD, Wait.END)]
        if idle:
            self._end(min(idle, key=lambda conn: conn.since), "room")

    def murder_keepalived(self, force: bool = False) -> None:
        """Called by the loop each time it has gone round. `force`: the worker ends."""
        now = time.monotonic()
        if now < self._next_look and not force:
            return
        self._next_look = now + LOOK_S
        for conn in list(self._waiting):
            if force or self._is_over(conn, now):
                self._give_up(conn)

    def _is_over(self, conn: Connection, now: float) -> bool:
        # it may be sending its next request already
        if not self.alive and conn.wait is Wait.SILENT:
            return not conn.kept or now >= conn.since + STOP_KEEPALIVE_LINGER
        return now >= conn.ends_at(self.patience)

    def _give_up(self, conn: Connection) -> None:
        if conn.wait in (Wait.HEAD, Wait.BODY):
            self._refuse(conn, refusals.TOO_SLOW, conn.wait.name.lower())
        else:
            self._end(conn, {Wait.READER: "answer"}.get(conn.wait, ""))

    # --- a request comes --------------------------------------------------------------------------
    def _await_request(self, conn: Connection, begun: bytes = b"") -> None:
        """`begun`: what came behind the request before."""
        conn.incoming, conn.outgoing = Incoming(self._body_bytes), None
        conn.begin(Wait.SILENT)
        self._watch(conn, selectors.EVENT_READ, self._readable)
        if begun:
            self._take(conn, begun)

    def _readable(self, conn: Connection, sock: socket.socket) -> None:
        data = self._received(conn)
        if data:
            self._take(conn, data)
        elif data is not None:
            self._end(conn)

    def _take(self, conn: Connection, data: bytes) -> None:
        incoming = conn.incoming
        incoming.add(data)
        if incoming.head_is_too_large:
            self._refuse(conn, refusals.HEAD_TOO_LARGE, "head")
        elif incoming.whole:
            self._hand_over(conn)
        elif incoming.head_bytes and conn.wait is not Wait.BODY:
            self._await_body(conn)
        elif incoming.begun and conn.wait is Wait.SILENT:
            since = conn.since
            conn.begin(Wait.HEAD)
            # a new connection has that time for silence and head together
            conn.since = conn.since if conn.kept else since

    def _await_body(self, conn: Connection) -> None:
        if not self._takes_room(conn, conn.incoming.length):
            self._refuse(conn, refusals.NO_ROOM, "room")
            return
        conn.begin(Wait.BODY)
        if conn.incoming.continues:
            self._say(conn, refusals.CONTINUE)

    def _hand_over(self, conn: Connection) -> None:
        self._unwatch(conn)
        conn.begin(Wait.IN_HAND)
        conn.init()
        conn.parser.unreader.unread(bytes(conn.incoming.data))
        self.enqueue_req(conn)

    # --- in a thread ------------------------------------------------------------------------------
    def handle_request(self, req: Any, conn: Connection) -> Any:
        req._expected_100_continue = False  # the loop has said it, or the body is not wanted
        if conn.incoming.unread:
            req.body = Body(LengthReader(conn.parser.unreader, 0))
            req.force_close()  # so the answer says that the connection closes
        conn.outgoing = Outgoing(conn.sock)
        return super().handle_request(req, Facing(conn.outgoing, conn.client, conn.server))

    # --- an answer goes ---------------------------------------------------------------------------
    def finish_request(self, conn: Connection, fs: Future[Any]) -> None:
        conn.keeps = not fs.cancelled() and fs.exception() is None and bool(fs.result())
        self._give_back_room(conn)
        outgoing = conn.outgoing
        try:
            conn.sock.setblocking(False)
        except OSError:
            self._end(conn)
            return
        if outgoing is None or not outgoing.waiting:
            self._answered(conn)
            return
        if outgoing.broken or not self._takes_room(conn, outgoing.waiting):
            self._end(conn, "answer")
            return
        conn.begin(Wait.READER)
        self._watch(conn, selectors.EVENT_WRITE, self._writable)

    def _writable(self, conn: Connection, sock: socket.socket) -> None:
        assert conn.outgoing is not None
        try:
            conn.outgoing.flush()
        except OSError:
            self._end(conn)
            return
        if not conn.outgoing.waiting:
            self._unwatch(conn)
            self._give_back_room(conn)
            self._answered(conn)

    def _answered(self, conn: Connection) -> None:
        if conn.keeps:
            conn.kept = True
            self._await_request(conn, conn.parser.unreader.take_buffered())
        else:
            self._last_word(conn)

    def _last_word(self, conn: Connection) -> None:
        """Close our side, and take in for a moment what the peer still sends: a socket closed on a
        sender takes the answer with it."""
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._end(conn)
            return
        conn.begin(Wait.END)
        self._watch(conn, selectors.EVENT_READ, self._drain)

    def _drain(self, conn: Connection, sock: socket.socket) -> None:
        data = self._received(conn)
        conn.drained += len(data or b"")
        if data == b"" or conn.drained > DRAIN_BYTES:
            self._end(conn)

    def _refuse(self, conn: Connection, refusal: bytes, why: str) -> None:
        CONNECTIONS_ENDED.add(why=why)
        self._unwatch(conn)
        self._give_back_room(conn)
        self._say(conn, refusal)
        self._last_word(conn)

    # --- small things -----------------------------------------------------------------------------
    def _received(self, conn: Connection) -> bytes | None:
        """What has come; b"" when nothing will come any more, None when nothing is there yet."""
        if conn.closed:  # by another event of the same round
            return None
        try:
            return bytes(conn.sock.recv(READ_BYTES))
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def _say(self, conn: Connection, words: bytes) -> None:
        try:
            conn.sock.send(words, socket.MSG_DONTWAIT)
        except OSError:
            pass  # it does not listen; the loop will see its end

    def _takes_room(self, conn: Connection, size: int) -> bool:
        wanted = size if size > SMALL_BYTES else 0
        if wanted > self._room:
            return False
        self._room -= wanted
        conn.room += wanted
        return True

    def _give_back_room(self, conn: Connection) -> None:
        self._room += conn.room
        conn.room = 0

    def _watch(
        self, conn: Connection, events: int, then: Callable[[Connection, socket.socket], None]
    ) -> None:
        self._waiting.add(conn)
        self.poller.register(conn.sock, events, partial(then, conn))

    def _unwatch(self, conn: Connection) -> None:
        if conn in self._waiting:
            self._waiting.discard(conn)
            self.poller.unregister(conn.sock)

    def _end(self, conn: Connection, why: str = "") -> None:
        """`why`: it is we that end it; counted."""
        if conn.closed:
            return
        if why:
            CONNECTIONS_ENDED.add(why=why)
        conn.closed = True
        self._unwatch(conn)
        self._give_back_room(conn)
        self.nr_conns -= 1
        address = conn.client[0]
        self._of_address[address] -= 1
        if not self._of_address[address]:
            del self._of_address[address]
        conn.close()
