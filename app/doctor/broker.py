"""Questions about the broker: is it there, does it take what it is given, and does it keep it?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psutil
import redis

from surefoot.app.config import Settings
from surefoot.app.delivery import trial
from surefoot.app.delivery.broker import redis_url
from surefoot.app.doctor.findings import Finding, fail, ok, warn
from surefoot.app.errors import SettingsError
from surefoot.app.logs import hidden
from surefoot.app.supervisor import redis_server, runfile

PATIENCE_S = 2.0
FULL = 0.9
# Of each branch the first release without CVE-2025-49844 and what was mended before it.
# Distributions mend 7.0.15 under its number.
GOOD_REDIS = ((6, 2, 20), (7, 0, 15), (7, 2, 11), (7, 4, 6), (8, 0, 4), (8, 2, 2))
GOOD_VALKEY = ((7, 2, 11), (8, 0, 6), (8, 1, 4))
FIXES = (  # for a write refused with this in its words
    ("maxmemory", "raise maxmemory; jobs are accepted meanwhile and go on then"),
    ("read only replica", "BROKER_URL must name the primary"),
    ("persist", "make room on its disk, and see its own log"),
    ("permission", "allow this user every key and command that Celery needs"),
    ("blocked", "end its memory or disk alarm, which it tells of: rabbitmq-diagnostics alarms"),
    ("no confirmation", "see whether it has a memory or disk alarm: rabbitmq-diagnostics alarms"),
)


def broker(settings: Settings) -> Iterator[Finding]:
    url = settings.broker_url
    if not url:
        yield _of_our_own()
        return
    shown = hidden(urlunsplit(urlsplit(url)._replace(query="")))  # a query may have a password
    try:
        trial.write(url, PATIENCE_S)
    except SettingsError as error:
        yield fail("broker", error.message, "set BROKER_URL to one of these")
        return
    except trial.Silent as error:
        why = f" ({error})" if str(error) else ""
        yield fail(
            "broker",
            f"{shown} does not answer within {PATIENCE_S:g} s{why}",
            _how_to_start(settings),
        )
        return
    except trial.Refused as error:
        yield fail(
            "broker",
            f"{shown} answers, but refuses {'us' if error.us else 'writes'}: {error.words}",
            _how_to_be_let_in(error),
        )
        if error.us:
            return
    else:
        yield ok("broker", f"{shown} answers, and takes writes")
    if url.startswith("redis"):
        yield from _redis(url)


def _how_to_be_let_in(refused: trial.Refused) -> str:
    if refused.us:
        return "correct BROKER_URL: the user, the password, and the database or virtual host"
    return next(
        (fix for word, fix in FIXES if word in refused.words.lower()), "see the broker's own log"
    )


def _of_our_own() -> Finding:
    try:
        return ok("broker", f"BROKER_URL is not set; `surefoot up` runs {redis_server.find()}")
    except SettingsError as error:
        return fail(
            "broker",
            "BROKER_URL is not set, and there is no Redis on this machine",
            error.message.partition(": ")[2],
        )


def _how_to_start(settings: Settings) -> str:
    run = runfile.load(settings.home)
    if run is not None and run.env.get("SUREFOOT_BROKER_URL") == settings.broker_url:
        return (
            "look into log/broker.log under the home"
            if psutil.pid_exists(run.pid)
            else "start everything: surefoot up"
        )
    return "start it, or correct BROKER_URL; jobs are accepted meanwhile and go on when it is back"


def _version(told: dict[str, Any]) -> Iterator[Finding]:
    """Is it one without known faults that let in anybody who may run a script? Without a version it
    is not judged.
    """
    valkey = "valkey_version" in told
    name, known = ("Valkey", GOOD_VALKEY) if valkey else ("Redis", GOOD_REDIS)
    said = str(told.get("valkey_version" if valkey else "redis_version", ""))
    numbers = tuple(int(part) for part in said.split(".")[:3] if part.isdecimal())
    if len(numbers) < 3 or is_good(numbers, known):
        return
    fix = f"install a newer one, {name} {'.'.join(map(str, known[-1]))} for example; see CVE-2025-49844"
    yield warn("broker", f"{name} {said} has known faults in its scripts", fix)


def is_good(version: tuple[int, ...], known: Sequence[tuple[int, ...]]) -> bool:
    """Whether a version is, in its own branch, at least the good one; a branch after the last one
    is.
    """
    branch = [good for good in known if good[:2] == version[:2]]
    return version >= branch[0] if branch else version > known[-1]


def _redis(url: str) -> Iterator[Finding]:
    """INFO tells it all; CONFIG is closed at most providers."""
    client = redis.Redis.from_url(
        redis_url(url),
        socket_timeout=PATIENCE_S,
        socket_connect_timeout=PATIENCE_S,
        retry=None,
        decode_responses=True,
    )
    try:
        told: dict[str, Any] = dict(client.info())
    except (redis.exceptions.RedisError, OSError) as error:
        yield warn(
            "broker",
            f"it does not tell how it is set up: {error}",
            "see to it that maxmemory-policy is noeviction",
        )
        return
    finally:
        client.close()
    yield from _version(told)
    policy = str(told.get("maxmemory_policy", "noeviction"))
    if policy == "noeviction":
        yield ok("eviction", "maxmemory-policy is noeviction")
    else:
        yield fail(
            "eviction",
            f"maxmemory-policy is {policy}: messages vanish when memory is short",
            "CONFIG SET maxmemory-policy noeviction, and in redis.conf",
        )
    if not told.get("aof_enabled", 1):
        fix = "CONFIG SET appendonly yes, and in redis.conf"
        yield warn(
            "persistence",
            "appendonly is off: a restart loses every message, and the relay has to ring them all again",
            fix,
        )
    elif told.get("aof_last_write_status", "ok") != "ok":
        yield fail(
            "persistence",
            "its last write to disk failed: it takes no messages",
            "make room on its disk",
        )
    else:
        yield ok("persistence", "appendonly is on")
    most, used = int(told.get("maxmemory", 0)), int(told.get("used_memory", 0))
    if most and used > FULL * most:
        yield warn(
            "memory",
            f"the broker uses {used / most:.0%} of its maxmemory; full, it takes no messages",
            "raise maxmemory",
        )
