"""As whom we are known: the address of absolute links, the Host that a request may name, and who a
peer really is.

With SUREFOOT_PUBLIC_URL the address is that one, whatever a request says. Without it, a request's
own Host is taken; where we listen on loopback only, that Host must not be a name of somebody
else's: a browser on this machine could be led here by a name whose address its owner changes (DNS
rebinding).
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from flask import Flask, request

from surefoot.app.addresses import words_of
from surefoot.app.config import Settings
from surefoot.app.serving.peers import is_address, is_trusted
from surefoot.web.api.problems import Problem
from surefoot.web.services import services

# Probes and monitors name this process, not the site; what they are told holds no link, and metrics
# need a key.
ANY_HOST = frozenset({"health.livez", "health.readyz", "health.healthz", "metrics.metrics"})
LOCAL = "localhost"


def install(app: Flask) -> None:
    app.before_request(check_host)


def base_url() -> str:
    """Scheme, host and port for absolute addresses, without a slash at the end."""
    return services().settings.public_url or request.host_url.rstrip("/")


def is_secure() -> bool:
    """Whether the browser came by https."""
    return services().settings.secure or request.is_secure


def check_host() -> None:
    """Raises: Problem 421 for a request that names another host."""
    if request.endpoint in ANY_HOST:
        return
    settings, host = services().settings, request.headers.get("Host")  # a browser always says it
    if settings.public_url:
        if not _is_ours(host or "", settings):
            raise Problem("misdirected", f"This is {settings.public_url}; ask there.")
    elif (
        host is not None
        and _is_loopback(request.environ["SERVER_NAME"])
        and not _is_near(host, settings)
    ):
        raise Problem(
            "misdirected",
            "This server listens on this machine only, and the request names another host."
            " Behind a proxy, set SUREFOOT_PUBLIC_URL to the address that browsers use.",
        )


def client_address() -> str:
    """The address of the client; behind a trusted proxy, the one that the proxy saw."""
    peer = request.remote_addr or ""
    told = [one.strip() for one in request.headers.get("X-Forwarded-For", "").split(",")]
    if told[-1] and is_address(told[-1]) and is_trusted(peer, services().settings.trusted_proxies):
        return told[-1]
    return peer


def _is_ours(host: str, settings: Settings) -> bool:
    return host.lower() == settings.public_host or _is_listed(host, settings)


def _is_near(host: str, settings: Settings) -> bool:
    """Whether no owner of a domain can have led a browser here by this name."""
    name = _name_of(host)
    return (
        name == LOCAL
        or name.endswith(f".{LOCAL}")
        or is_address(name)
        or _is_listed(host, settings)
    )


def _is_listed(host: str, settings: Settings) -> bool:
    listed = words_of(settings.hosts.lower())
    return host.lower() in listed or _name_of(host) in listed


def _name_of(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_loopback(name: str) -> bool:
    return name == LOCAL or (is_address(name) and ipaddress.ip_address(name).is_loopback)
