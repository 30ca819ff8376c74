"""Which parts there are: broker, relay, workers, web, Flower.

Saga packages add others (`additions`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from surefoot import app
from surefoot.app.addresses import url_of
from surefoot.app.config import Settings
from surefoot.app.config import settings as app_settings
from surefoot.app.environment import for_children as environment_for_children
from surefoot.app.errors import StoreUnavailable
from surefoot.app.store.worker_register import live_workers
from surefoot.app.supervisor import commands, ports, private, probes, redis_server, redis_users
from surefoot.app.supervisor.home import flower_file, keep, write_private
from surefoot.app.supervisor.part import Part

FLOWER_PORT = 5555
WORKERS = 2  # so that somebody can take over
LOOPBACK = "127.0.0.1"
FLOWER_USER = "surefoot"
LARGEST_BYTES = 8 * 1024 * 1024
BROKER_URL = "SUREFOOT_BROKER_URL"
# what is stopped, and has ended, before what; `called`: what steps call, added by a saga package
RANKS = {"web": 0, "flower": 1, "worker": 2, "relay": 3, "called": 4, "broker": 5}


@dataclass(frozen=True)
class Secrets:
    """What opens our doors, kept under the home. A given one is taken; an absent one is made once."""

    api_key: str
    signing: str
    broker: str
    flower: str  # user:password


def secrets_of(settings: Settings, home: Path) -> Secrets:
    """Taken from the settings, else from the home's files, else made."""
    return Secrets(
        api_key=keep(home / "api_key", settings.api_key, prefix="sf_"),
        signing=keep(home / "secret", settings.secret),
        broker=keep(home / "broker_password"),
        flower=settings.flower_basic_auth or f"{FLOWER_USER}:{keep(home / 'flower_password')}",
    )


def broker(
    home: Path, password: str, last_port: int | None, say: Callable[[str], None] = print
) -> tuple[Part, int, str]:
    """A Redis of our own on the port it had last, else on a free one.

    Returns: the part, its port, its URL for people.

    `password`: what those of its users are made from (`redis_users`).

    Raises: SettingsError when this machine has none, with the command that installs it.
    """
    binary = redis_server.find()
    port = (
        last_port if last_port in ports.ours_to_choose() else None
    )  # one of an older release may be the kernel's
    if port is not None and not ports.is_free(LOOPBACK, port):
        say(
            f"port {port} of the broker is held by {ports.holder(port) or 'nobody we can see'}; it moves to another one"
        )
        port = None
    port = port or ports.any_free()
    directory = home / "redis"
    write_private(directory / "users.acl", redis_users.acl_file(password))
    conf = f'aclfile "{directory / "users.acl"}"\nproto-max-bulk-len {_largest_bytes()}\n'
    write_private(directory / "redis.conf", conf)
    operator = redis_users.password(password, redis_users.OPERATOR)
    part = Part(
        name="broker",
        command=commands.redis(binary, directory, port),
        stop_rank=RANKS["broker"],
        ready=lambda pid: probes.redis_answers(port, redis_users.OPERATOR, operator),
        url=f"redis://{LOOPBACK}:{port}/0",
        port=port,
    )
    return part, port, redis_users.url(password, redis_users.OPERATOR, f"{LOOPBACK}:{port}/0")


def _largest_bytes() -> int:
    """What our Redis takes at once: a worker reads a message whole before it can look at its size.

    An envelope is a third larger than its message, so there is room for what SUREFOOT_MESSAGE_BYTES
    allows.
    """
    return max(LARGEST_BYTES, 2 * app_settings().message_bytes)


def relay() -> Part:
    """Ready as soon as it runs: nothing waits for it."""
    return Part(name="relay", command=commands.relay(), stop_rank=RANKS["relay"])


def worker(number: int, db: Engine, soft_shutdown_s: float) -> Part:
    """Ready when its own process stands in the register of workers."""
    name = f"worker-{number}"
    return Part(
        name=name,
        command=commands.worker(name),
        env=commands.WORKER_ENV,
        stop_rank=RANKS["worker"],
        ready=_has_registered(db),
        stop_budget_s=soft_shutdown_s + 10.0,
    )


def web(host: str, port: int, proxies: str) -> Part:
    """Ready when the store it sees is. `proxies`: as SUREFOOT_TRUSTED_PROXIES."""
    url = url_of(host, port)
    return Part(
        name="web",
        command=commands.web(host, port, proxies),
        stop_rank=RANKS["web"],
        ready=lambda pid: probes.answers(f"{url}/readyz"),
        stop_budget_s=commands.WEB_GRACE_S + 5.0,
        url=url,
    )


def flower(settings: Settings, home: Path, port: int, login: str) -> Part:
    """Nothing waits for it; its page is there some seconds later."""
    return Part(
        name="flower",
        command=commands.flower(
            LOOPBACK,
            port,
            flower_file(home),
            tasks=settings.flower_max_tasks,
            save_s=settings.flower_save_seconds,
        ),
        env={"FLOWER_BASIC_AUTH": login},
        stop_rank=RANKS["flower"],
        url=f"http://{LOOPBACK}:{port}",
    )


def flower_url(settings: Settings, port: int) -> str:
    """Where our pages' links to Flower lead; none for browsers of other machines, who cannot reach
    ours.
    """
    return settings.flower_url or (
        url_of(LOOPBACK, port) if settings.host in (LOOPBACK, "localhost", "::1") else ""
    )


def environment(
    settings: Settings,
    home: Path,
    secrets: Secrets,
    shared: Mapping[str, str],
    port: int,
    flower_port: int,
) -> dict[str, str]:
    """What every part is told, whatever the supervisor was told by its own environment, and
    whatever the folder.
    """
    found = {
        **environment_for_children(),
        **shared,
        "SUREFOOT_HOME": str(home),
        "SUREFOOT_API_KEY": secrets.api_key,
        "SUREFOOT_SECRET": secrets.signing,
        "SUREFOOT_ENV": settings.env,
        "SUREFOOT_FAULTS": settings.faults,
        "SUREFOOT_HOST": settings.host,
        "SUREFOOT_PORT": str(port),
        "SUREFOOT_HOSTS": _hosts(settings, port),
        "SUREFOOT_FLOWER_URL": flower_url(settings, flower_port),
        "PYTHONUNBUFFERED": "1",
        "SUREFOOT_LOG_FORMAT": settings.log_format
        if settings.log_format != "auto"
        else "text",  # people read these files
    }
    source = Path(app.__file__).parents[2]
    if (
        source / "setup.cfg"
    ).exists():  # a checkout: its packages are not where Python looks by itself
        found["PYTHONPATH"] = os.pathsep.join(
            [str(source), *filter(None, [os.environ.get("PYTHONPATH")])]
        )
    return found


def _hosts(settings: Settings, port: int) -> str:
    """The hosts that requests may name beside SUREFOOT_PUBLIC_URL: those that are set, and ours as
    commands of this home know it."""
    own = url_of(settings.host, port).partition("://")[2]
    return ",".join(filter(None, (settings.hosts, own if settings.public_url else "")))


def teller(env: Mapping[str, str], broker_password: str | None) -> Callable[[str], dict[str, str]]:
    """What a part is told, by its name: no secrets but its own; `broker_password`: of a Redis of
    our own, or None.
    """

    def tell(part: str) -> dict[str, str]:
        told, kind = private.told(env, part), private.kind_of(part)
        if broker_password is not None and BROKER_URL in told:
            place = told[BROKER_URL].rpartition("@")[2]
            told[BROKER_URL] = redis_users.url(broker_password, kind, place)
        return told

    return tell


def shared(settings: Settings, broker_url: str, added: Mapping[str, str]) -> dict[str, str]:
    """The settings that other commands on this home need as well. `added`: those of saga packages."""
    urls = {
        "SUREFOOT_DATABASE_URL": settings.store_url,
        BROKER_URL: broker_url,
        "SUREFOOT_QUEUE_PREFIX": settings.queue_prefix,
    }
    return {**added, **{name: value for name, value in urls.items() if value}}


def _has_registered(db: Engine) -> Callable[[int], bool]:
    def ready(pid: int) -> bool:
        try:
            return any(row.pid == pid for row in live_workers(db))
        except StoreUnavailable:
            return False

    return ready
