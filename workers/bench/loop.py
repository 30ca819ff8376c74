"""One process of the hand-written loop: take a message, claim, complete, send the next,
acknowledge.
"""

from __future__ import annotations

import secrets
import signal
import time
from types import FrameType

import redis

from surefoot.app.delivery.broker import redis_url
from surefoot.workers.bench import counting
from surefoot.workers.bench.by_hand import Store
from surefoot.workers.bench.told import broker_url, store_url

QUEUE, HELD = (
    "bench_loop",
    "bench_loop.held",
)  # a message is held until it is done, as unacknowledged ones are
LEASE_S = 15.0
POP_S = 1.0


def main() -> None:
    """Until SIGTERM."""
    signal.signal(signal.SIGTERM, _leave)
    counting.start()
    broker = redis.Redis.from_url(redis_url(broker_url()), decode_responses=True)
    store = Store(store_url())
    print("ready.", flush=True)
    while True:
        operation = broker.blmove(QUEUE, HELD, int(POP_S), "RIGHT", "LEFT")
        if operation is not None:
            carry_out(store, broker, str(operation))


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def carry_out(store: Store, broker: redis.Redis, operation: str) -> None:
    """One operation, whose step does nothing."""
    token = secrets.token_hex(8)
    claimed = store.claim(operation, token, time.time() + LEASE_S)
    if claimed is not None:
        following = store.complete(operation, token, *claimed, time.time())
        if following is not None:
            broker.lpush(QUEUE, following)
    broker.lrem(HELD, 1, operation)


if __name__ == "__main__":
    main()
