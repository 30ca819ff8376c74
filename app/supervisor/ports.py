"""Which TCP ports are free, and what to do when one is not."""

from __future__ import annotations

import contextlib
import errno
import secrets
import socket
from pathlib import Path

import psutil

from surefoot.app.errors import SettingsError

TRIES = 50
FIRST, LAST = 10_100, 65_535  # no browser goes to 10,080
FEWEST = 100  # one of them will be free
KERNEL_S = Path("/proc/sys/net/ipv4/ip_local_port_range")
ELSEWHERE = (49_152, 65_535)


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen on `port` of `host` now.

    Raises: SettingsError when it is not the port that is in the way: a host that is none of this
    machine, or a port for root only.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # as servers do; an ended connection is not a listener
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise SettingsError(
                f"SUREFOOT_HOST: nothing can listen on port {port} of {host}: {error.strerror}"
            ) from error
        return True


def any_free(host: str = "127.0.0.1", *, taken: frozenset[int] = frozenset()) -> int:
    """A port that nobody uses, below those that the kernel gives to outgoing connections, and none
    of `taken`.

    One of the kernel's may be given to a client that reconnects to a server which is down just now,
    even be that very port: the client then speaks to itself, and the server cannot come back.
    Another process may take any port before the caller does: such a start is to be tried again.
    """
    ours = list(ours_to_choose())
    begin = secrets.randbelow(len(ours))
    for port in (*ours[begin:], *ours[:begin]):
        if port not in taken and is_free(host, port):
            return port
    raise SettingsError(f"no free port between {ours[0]} and {ours[-1]} on {host}")


def ours_to_choose() -> range:
    """The ports from which we choose: below the kernel's range, or above it where that begins too
    low.
    """
    low, high = _of_the_kernel()
    if low - FIRST >= FEWEST:
        return range(FIRST, low)
    return range(high + 1, LAST + 1) if LAST - high >= FEWEST else range(FIRST, LAST + 1)


def _of_the_kernel() -> tuple[int, int]:
    """The first and last port of outgoing connections."""
    try:
        low, high = KERNEL_S.read_text().split()
        return int(low), int(high)
    except (OSError, ValueError):
        return ELSEWHERE  # macOS and the BSDs, as IANA has it


def holder(port: int) -> str:
    """The process that has this port, in words; "" if it is free."""
    try:
        found = [
            one
            for one in psutil.net_connections("tcp")
            if one.laddr and one.laddr.port == port and one.status != psutil.CONN_TIME_WAIT
        ]
    except (psutil.Error, OSError):  # macOS lets only root look
        return "a process that cannot be told"
    for one in found:
        if one.pid:
            with contextlib.suppress(psutil.Error):
                how = "listens" if one.status == psutil.CONN_LISTEN else "has a connection from it"
                return f"pid {one.pid} ({psutil.Process(one.pid).name()}), which {how}"
    return "a process of another user" if found else ""


def choose(
    name: str, host: str, wanted: int | None, default: int, *, taken: frozenset[int] = frozenset()
) -> int:
    """The port to listen on: `wanted` when it was set, else the first free one from `default` on,
    `taken` (by our parts) left out.

    Raises: SettingsError naming the setting `name` when `wanted` cannot be had: the setting meant
    that port.
    """
    if wanted is not None:
        if wanted in taken:
            raise SettingsError(
                f"{name}={wanted} is that of another part of Surefoot; choose another, or leave {name} unset"
            )
        if not is_free(host, wanted):
            who = holder(wanted) or "nobody we can see"
            said = f"{name}={wanted} is in use on {host} by {who}; choose another, or leave {name} unset for the next free one"
            raise SettingsError(said)
        return wanted
    for port in range(default, default + TRIES):
        if port not in taken and is_free(host, port):
            return port
    raise SettingsError(
        f"no free port between {default} and {default + TRIES - 1} on {host}; set {name}"
    )
