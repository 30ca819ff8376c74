"""The bank as a process: gunicorn with the web server's worker and eight threads, on a port that is
given or found.

No peer holds a thread of it (`surefoot.app.serving`), and the settings of the web server's waits
are its own, too.

Where it listens is printed and written to `bank.url` under the home, so that payments and the
ledger find a bank that took a free port.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flask import Flask
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped, unused-ignore]

from surefoot.app.serving import WORKER
from surefoot.workers.sagas.order.services.bank import create_bank
from surefoot.workers.sagas.order.settings import BANK_URL_FILE, order_settings

THREADS = 8
STOP_S = 2  # a hanging answer does not hold up the end for longer


def serve(host: str | None, port: int | None) -> None:
    """Serve until SIGTERM or SIGINT.

    `host`, `port`: None for what SUREFOOT_BANK_URL says, else loopback and a free port.
    """
    told = urlsplit(order_settings().bank_url)
    host = host or told.hostname or "127.0.0.1"
    address = f"[{host}]" if ":" in host else host
    _BankServer(f"{address}:{port if port is not None else told.port or 0}").run()


class _BankServer(BaseApplication):  # type: ignore[misc, unused-ignore]
    def __init__(self, address: str) -> None:
        self._address = address
        super().__init__()

    def load_config(self) -> None:
        settings: dict[str, Any] = {
            "bind": self._address,
            "workers": 1,
            "worker_class": WORKER,
            "threads": THREADS,
            "graceful_timeout": STOP_S,
            "proc_name": "surefoot-bank",
            "loglevel": "warning",
            "when_ready": _announce,
            "control_socket_disable": True,
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        return create_bank()


def _announce(server: Any) -> None:
    host, port = server.LISTENERS[0].getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - everywhere is not an address to call
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    home = order_settings().home
    home.mkdir(parents=True, exist_ok=True)
    _replace(home / BANK_URL_FILE, url + "\n")
    print(f"The bank listens on {url}", flush=True)


def _replace(path: Path, content: str) -> None:
    """Write a file so that a reader finds the old content or the new, never half of it."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(content)
    os.replace(name, path)
