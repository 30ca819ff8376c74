"""Which TCP ports are free, and what to do when one is not."""

from __future__ import annotations

import errno
import socket

from app.errors import SettingsError

TRIES = 50


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen on `port` of `host` now.

    Raises: SettingsError when it is not the port that is in the way: a host that is none of this machine, or a port for root only.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do; an ended connection is no listener
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise SettingsError(f"SUREFOOT_HOST: nothing can listen on port {port} of {host}: {error.strerror}") from error
        return True


def any_free(host: str = "127.0.0.1") -> int:
    """A port that nobody uses. Another process may take it before the caller does: such a start is to be tried again."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def choose(name: str, host: str, wanted: int | None, default: int, *, taken: frozenset[int] = frozenset()) -> int:
    """The port to listen on: `wanted` when it was set, else the first free one from `default` on, `taken` (by parts of ours) left out.

    Raises: SettingsError naming the setting `name` when `wanted` cannot be had: whoever set it meant that port.
    """
    if wanted is not None:
        if wanted in taken:
            raise SettingsError(f"{name}={wanted} is that of another part of Surefoot; choose another, or leave {name} unset")
        if not is_free(host, wanted):
            raise SettingsError(f"{name}={wanted} is in use on {host}; choose another, or leave {name} unset for the next free one")
        return wanted
    for port in range(default, default + TRIES):
        if port not in taken and is_free(host, port):
            return port
    raise SettingsError(f"no free port between {default} and {default + TRIES - 1} on {host}; set {name}")
