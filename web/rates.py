"""Requests that come too fast: 429 with when to come again, by the key, or by the address where no
key is known.

The fields are those of draft-ietf-httpapi-ratelimit-headers-10: `RateLimit-Policy` names the bound
(`q` requests in `w` seconds), `RateLimit` what is left of it (`r` requests, all of them again in
`t` seconds).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from flask import Flask, Response, current_app, g

from surefoot.app.config import Settings
from surefoot.app.limits.rates import Buckets, Rate, Taken, subscriber
from surefoot.web.address import client_address
from surefoot.web.api.problems import Problem

EXTENSION = "surefoot.rates"
POLICY, LEFT = "RateLimit-Policy", "RateLimit"
# Probes come however much else does.
UNBOUNDED = frozenset({"health.livez", "health.readyz", "health.healthz"})


@dataclass(frozen=True)
class Rates:
    """`keys`: requests of a known key; `addresses`: others, by address; `tries`: keys that were
    wrong, by address."""

    keys: Buckets
    addresses: Buckets
    tries: Buckets

    @classmethod
    def of(cls, told: Settings) -> Rates:
        return cls(
            Buckets(Rate("key", told.key_rate, told.key_burst)),
            Buckets(Rate("address", told.address_rate, told.address_burst)),
            Buckets(Rate("wrong-keys", told.wrong_keys_minute / 60, told.wrong_keys_minute)),
        )


def install(app: Flask, told: Settings) -> None:
    app.extensions[EXTENSION] = Rates.of(told)
    app.after_request(_tell)


def count_key(key_id: str) -> None:
    """A request of this key. Raises: Problem 429."""
    _check(_rates().keys.take(key_id))


def count_address() -> None:
    """A request that names no good key. Raises: Problem 429."""
    _check(_rates().addresses.take(_who()))


def check_tries() -> None:
    """Before a key is looked up that is not known yet. Raises: Problem 429."""
    taken = _rates().tries.look(_who())
    if taken is not None and taken.wait_s:
        raise _problem(taken)


def count_wrong_key() -> None:
    _rates().tries.take(_who())


def _rates() -> Rates:
    found: Rates = current_app.extensions[EXTENSION]
    return found


def _who() -> str:
    return subscriber(client_address())


def _check(taken: Taken | None) -> None:
    g.rate_taken = taken
    if taken is not None and taken.wait_s:
        raise _problem(taken)


SAID = {
    "key": "More requests came with this key than SUREFOOT_KEY_RATE allows.",
    "address": "More requests came from this address than SUREFOOT_ADDRESS_RATE allows.",
    "wrong-keys": "Too many wrong keys came from this address (SUREFOOT_WRONG_KEYS_MINUTE).",
}


def _problem(taken: Taken) -> Problem:
    headers = {"Retry-After": str(math.ceil(taken.wait_s)), **_fields(taken)}
    return Problem(
        "too-many-requests", SAID[taken.rate.name], headers=headers, policy=taken.rate.name
    )


def _fields(taken: Taken) -> dict[str, str]:
    rate = taken.rate
    full_s = math.ceil((rate.burst - taken.left) / rate.per_s)
    return {
        POLICY: f'"{rate.name}";q={rate.burst};w={rate.window_s}',
        LEFT: f'"{rate.name}";r={taken.left};t={full_s}',
    }


def _tell(response: Response) -> Response:
    """Say what is left, where a key came."""
    taken: Taken | None = g.get("rate_taken")
    if taken is not None and taken.rate.name == "key" and LEFT not in response.headers:
        response.headers.update(_fields(taken))
    return response
