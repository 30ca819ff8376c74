"""The other side of a connection: proxies that are trusted about their clients."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from surefoot.app.addresses import words_of

EVERYBODY = "*"


def is_trusted(peer: str, proxies: str) -> bool:
    """Whether `peer` is one of `proxies` (addresses and networks, separated by commas; `*` is
    everybody)."""
    networks = _networks(proxies)
    return networks is None or (
        is_address(peer) and any(ipaddress.ip_address(peer) in one for one in networks)
    )


def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=8)
def _networks(proxies: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] | None:
    """None: everybody."""
    words = words_of(proxies)
    return (
        None
        if EVERYBODY in words
        else tuple(ipaddress.ip_network(one, strict=False) for one in words)
    )
