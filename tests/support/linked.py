"""A `surefoot up` whose parts reach store, broker and bank over links of their own, each of which a test can cut.

Run as a module it is `surefoot up`, and gives each part the settings that LINKS names for it: {part: {variable: value}}.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import make_url

from surefoot.app.store.worker_register import live_workers
from tests.support.faulty import WORKERS, FaultyShop
from tests.support.proxy import Proxy
from tests.support.running import Up
from tests.support.waiting import wait_until

PARTS = ("web", "relay", *WORKERS)
LEASE_S, SILENCE_S = 3.0, 3.0
QUICK = {
    "SUREFOOT_LEASE_SECONDS": f"{LEASE_S:g}",
    "SUREFOOT_HEARTBEAT_SECONDS": "0.7",
    "SUREFOOT_SWEEP_SECONDS": "0.3",
    "SUREFOOT_STORE_SILENCE_SECONDS": f"{SILENCE_S:g}",
}
QUICK |= {
    "SUREFOOT_HARD_LIMIT_GRACE_SECONDS": "0.5",
    "SUREFOOT_PUBLISH_PAUSE_SECONDS": "1",
    "SUREFOOT_ENV": "test",
    "SUREFOOT_LOG_FORMAT": "json",
}


class LinkedUp(Up):
    module = __name__


class LinkedShop(FaultyShop):
    """`links`: by name, as in "web-store", "worker-1-broker"; "payment-bank" is the workers' way to the bank."""

    links: dict[str, Proxy]

    def of(self, *names: str) -> list[Proxy]:
        """The links of these names; "worker-store" is all the workers' links to the store."""
        return [
            link
            for name, link in self.links.items()
            if name.replace("worker-1", "worker").replace("worker-2", "worker") in names
            or name in names
        ]


@contextmanager
def linked_shop(home: Path, store: str, broker: str, **env: str) -> Iterator[LinkedShop]:
    """`store`, `broker`: URLs of a PostgreSQL and a Redis (or RabbitMQ) that run. Every link is whole."""
    links = {
        f"{part}-{what}": Proxy(make_url(url).port or 0)
        for part in PARTS
        for what, url in (("store", store), ("broker", broker))
    }
    links["payment-bank"] = Proxy()
    told = {
        part: {
            "SUREFOOT_DATABASE_URL": _over(store, links[f"{part}-store"]),
            "SUREFOOT_BROKER_URL": _over(broker, links[f"{part}-broker"]),
        }
        for part in PARTS
    }
    for worker in WORKERS:
        told[worker]["SUREFOOT_BANK_URL"] = f"http://127.0.0.1:{links['payment-bank'].port}"
    up = LinkedUp(
        home,
        **{**QUICK, "DATABASE_URL": store, "BROKER_URL": broker, "LINKS": json.dumps(told), **env},
    )
    try:
        up.start()
        links["payment-bank"].target = make_url(up.run.env["SUREFOOT_BANK_URL"]).port or 0
        shop = LinkedShop(up)
        shop.links = links
        try:
            wait_until(lambda: len(live_workers(shop.db)) == len(WORKERS), 60, what="both workers")
            yield shop
        finally:
            shop.close()
    finally:
        for link in links.values():
            link.heal()
        up.close()
        for link in links.values():
            link.close()


def _over(url: str, link: Proxy) -> str:
    return make_url(url).set(port=link.port).render_as_string(hide_password=False)


def main() -> None:
    from surefoot.app.cli import main as surefoot
    from surefoot.app.supervisor import stack

    told: dict[str, dict[str, str]] = json.loads(os.environ["LINKS"])

    def linked(make: Callable[..., Any]) -> Callable[..., Any]:
        def made(*args: Any) -> Any:
            part = make(*args)
            return replace(part, env={**part.env, **told.get(part.name, {})})

        return made

    stack.web, stack.relay, stack.worker = (
        linked(stack.web),
        linked(stack.relay),
        linked(stack.worker),
    )
    surefoot()


if __name__ == "__main__":
    main()
