"""A process that has imported what ours import, and becomes any of them by a fork: a twentieth of
the processor time of a start.

    python -m tests.support.warm_server SOCKET PADDING

It is asked by `warm.py`: one connection for each process, on which come what to run and its three
files, and go the pid and, at the end, the exit code. What it forks is its own child. It ends when
its standard input does, with the tests that started it.

Nothing that a process decides from its environment may be imported here: the application of the
workers, the configuration of Celery and the sagas are not.
"""

from __future__ import annotations

import gc
import os
import selectors
import socket
import sys
from contextlib import suppress
from importlib import import_module

from tests.support import warm_part
from tests.support.warm_part import Asked

MODULES = (
    "celery.bin.celery",
    "celery.apps.worker",
    "celery.app.log",
    "celery.concurrency.prefork",
    "celery.worker.consumer",
    "celery.worker.strategy",
    "flower.command",
    "gunicorn.app.wsgiapp",
    "httpx",
    "kombu.transport.pyamqp",
    "kombu.transport.redis",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.pysqlite",
    "surefoot.app.cli.processes",
    "surefoot.app.delivery.publisher",
    "surefoot.app.engine.worker.loop",
    "surefoot.app.serving.worker",
    "surefoot.app.supervisor.up",
    "surefoot.web.factory",
    "surefoot.workers.sagas.order.models",
    "surefoot.workers.sagas.order_choreographed.events",
)


def main(path: str) -> None:
    os.environ["REMAP_SIGTERM"] = "SIGQUIT"  # read when Celery is imported; see `warm_part.is_fit`
    for name in MODULES:
        import_module(name)
    from surefoot.app.config import settings

    assert settings.cache_info().currsize == 0, "an import has read the settings of the tests"
    gc.collect()
    gc.freeze()  # what is here now stays in pages that all share
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(f"{path}.new")
    listener.listen(64)
    os.rename(f"{path}.new", path)  # once it is seen it takes connections
    asked = Server(listener).serve()
    if asked is not None:
        asked.run()


class Server:
    """`running`: by the descriptor that tells its end, each pid and the connection of its starter."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._ready = selectors.DefaultSelector()
        self._ready.register(listener, selectors.EVENT_READ)
        self._ready.register(sys.stdin, selectors.EVENT_READ)
        self._running: dict[int, tuple[int, socket.socket]] = {}

    def serve(self) -> Asked | None:
        """Fork whatever is asked for. Returns None at the end, and in each child what it is to be."""
        while True:
            for key, _ in self._ready.select():
                if key.fileobj is sys.stdin:
                    return None
                if key.fileobj is not self._listener:
                    self._bury(key.fd)
                elif (asked := self._fork()) is not None:
                    return asked

    def _fork(self) -> Asked | None:
        connection, _ = self._listener.accept()
        asked = warm_part.receive(connection)
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            connection.close()
            self._let_go()
            return asked.put_on(parent)
        for fd in asked.files:
            os.close(fd)
        connection.send(str(pid).encode())
        watched = os.pidfd_open(pid)
        self._running[watched] = (pid, connection)
        self._ready.register(watched, selectors.EVENT_READ)
        return None

    def _let_go(self) -> None:
        """In a child: nothing of the server's stays open."""
        self._ready.close()
        self._listener.close()
        for fd, (_, connection) in self._running.items():
            os.close(fd)
            connection.close()

    def _bury(self, watched: int) -> None:
        self._ready.unregister(watched)
        os.close(watched)
        pid, connection = self._running.pop(watched)
        _, status = os.waitpid(pid, 0)
        with connection, suppress(OSError):  # perhaps nobody waits for it any more
            connection.send(str(os.waitstatus_to_exitcode(status)).encode())


if __name__ == "__main__":
    main(sys.argv[1])
