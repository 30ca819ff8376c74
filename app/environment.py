"""Which variables of the environment are ours, and what was said under names that are not.

Our settings are named `SUREFOOT_` and their name. Login shells, platforms and libraries have
variables of their own (MAIL, HOST, LOG_LEVEL, …), so no other name is obeyed, but for four that
platforms set for the programs they run: DATABASE_URL, BROKER_URL, PORT, and HOST where it is an
address. The name with the prefix wins over each of them.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable, Mapping, MutableMapping
from functools import lru_cache

PREFIX = "SUREFOOT_"
FAMOUS = {
    "database_url": "DATABASE_URL",
    "broker_url": "BROKER_URL",
    "host": "HOST",
    "port": "PORT",
}
# What settings were called before they had the prefix. Left out: what programs of others are told
# by, too, such as MAIL.
RENAMED = frozenset(
    """
    BODY_BYTES FLOWER_BASIC_AUTH FLOWER_SAVE_SECONDS FLOWER_URL HARD_LIMIT_GRACE_SECONDS
    HEARTBEAT_FILE HEARTBEAT_SECONDS INPUT_BYTES LEASE_SECONDS LOCK_KEYS LOCK_KEY_CHARS
    LOCK_RECHECK_SECONDS LOST_SECONDS MESSAGE_BYTES MIGRATION_WAIT_SECONDS MIRROR_LETTERS
    MIRROR_SECONDS BATCH_SECONDS OPEN_JOBS PUBLISH_PAUSE_SECONDS PUBLISH_TIMEOUT_SECONDS
    RECONCILE_KEYS RECONCILE_ROWS RECONCILE_SECONDS RECONCILE_WINDOW_SECONDS
    REDRIVE_LETTERS RESULT_BYTES RUN_ON_SECONDS SOFT_SHUTDOWN_SECONDS
    STORE_SILENCE_SECONDS SWEEP_ROWS SWEEP_SECONDS UNDO_SECONDS UNSENT_SECONDS
    """.split()  # noqa: SIM905 - so many names read better so
)
# What the libraries below read, and would be moved by: cleared for each of our processes. PYTHON…:
# of interpreters that we start.
OF_LIBRARIES = ("CELERY_", "FLOWER_", "GUNICORN_", "FLASK_", "KOMBU_", "PROMETHEUS_")
OF_LIBRARIES_WHOLE = frozenset(
    """
    FORKED_BY_MULTIPROCESSING MP_LOG MP_MAIN_FILE WEB_CONCURRENCY FORWARDED_ALLOW_IPS SENDFILE AUTOSCALE_KEEPALIVE
    C_FAKEFORK C_BENCH PICKLE_PROTOCOL DISABLE_TRACEBACKS
    PYTHONWARNINGS PYTHONINSPECT PYTHONOPTIMIZE
    """.split()  # noqa: SIM905
)
# Flower's own; what Surefoot starts is told it this way, out of the list of processes
FLOWER_LOGIN = "FLOWER_BASIC_AUTH"
# libpq takes these whatever the URL says, or where it says nothing. Passwords and certificates
# (PGPASSWORD, PGSSL…) are welcome.
OF_LIBPQ = ("PGSERVICE", "PGHOSTADDR", "PGDATESTYLE")
OF_LIBPQ_BY_PART = {
    "host": "PGHOST",
    "port": "PGPORT",
    "username": "PGUSER",
    "database": "PGDATABASE",
}
borrowed: dict[
    str, str
] = {}  # variables that this process set itself -> where their values are from


def variable(field: str, prefix: str = PREFIX) -> str:
    """The environment variable of a setting."""
    return f"{prefix}{field}".upper()


def famous(field: str, environ: Mapping[str, str] = os.environ) -> str:
    """What a setting is told under its famous name; "" where that says nothing, or nothing that we
    take.

    conda has its machine's triplet in HOST, tcsh the name of this machine, at which everybody could
    come in. A platform that means us says where to listen, by an address.
    """
    told = environ.get(FAMOUS.get(field, ""), "")
    return told if field != "host" or is_address(told) else ""


def is_address(text: str) -> bool:
    """Whether this is an IP address, or `localhost`."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return text == "localhost"
    return True


def origin(field: str, prefix: str = PREFIX, environ: Mapping[str, str] = os.environ) -> str:
    """The name of the variable that a setting was told by; "" when it has its default."""
    name = variable(field, prefix)
    if any(told and told_by.upper() == name for told_by, told in environ.items()):
        return name
    return FAMOUS[field] if prefix == PREFIX and famous(field, environ) else ""


def ours(fields: Iterable[str], prefix: str = PREFIX) -> tuple[str, ...]:
    """What the environment says of these settings now: the same as before means that they are the
    same.
    """
    told = os.environ.get
    return tuple(
        told(name) or (famous(field) if field in FAMOUS else "")
        for field, name in _variables(tuple(fields), prefix)
    )


@lru_cache(maxsize=16)
def _variables(fields: tuple[str, ...], prefix: str) -> tuple[tuple[str, str], ...]:
    """Each field with its variable: steps ask for settings at every transaction."""
    return tuple((field, variable(field, prefix)) for field in fields)


def renamed(
    environ: Mapping[str, str] = os.environ, also: frozenset[str] = frozenset()
) -> list[str]:
    """A sentence for each variable that has an old name of a setting: it is not obeyed, and the new
    one says nothing. `also`: old names of settings of saga packages.
    """
    old = sorted(
        name for name in RENAMED | also if environ.get(name) and not environ.get(PREFIX + name)
    )
    return [f"{name} is now {PREFIX}{name}; {name} is not obeyed" for name in old]


def host_of_others(environ: Mapping[str, str] = os.environ) -> list[str]:
    """A sentence about a HOST that is not an address, where nothing else says where to listen."""
    host = environ.get("HOST", "")
    if not host or environ.get(f"{PREFIX}HOST") or is_address(host):
        return []
    return [
        f"HOST={host} is not an address, so it is not obeyed; to listen elsewhere than on 127.0.0.1, set {PREFIX}HOST"
    ]


def of_libraries(environ: Mapping[str, str] = os.environ) -> list[str]:
    """The variables that a library below would obey and that we clear."""
    return sorted(
        name
        for name in environ
        if name in OF_LIBRARIES_WHOLE or (name.startswith(OF_LIBRARIES) and name != FLOWER_LOGIN)
    )


def clear_of_libraries(environ: MutableMapping[str, str] = os.environ) -> None:
    """Take them out of this process's environment, and so out of that of its children."""
    for name in of_libraries(environ):
        del environ[name]


def for_children(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment for one of our processes."""
    kept = {name: value for name, value in environ.items() if name != FLOWER_LOGIN}
    clear_of_libraries(kept)
    return kept


def unwelcome_to_libpq(named: Mapping[str, object], environ: Mapping[str, str] = os.environ) -> str:
    """The first variable by which libpq would go elsewhere than the URL says; "" when there is
    none. `named`: the URL's parts.
    """
    found = [name for name in OF_LIBPQ if environ.get(name)]
    found += [
        name for part, name in OF_LIBPQ_BY_PART.items() if environ.get(name) and not named.get(part)
    ]
    return found[0] if found else ""
