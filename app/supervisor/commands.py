"""The words that start each kind of process. `surefoot up` and the single commands (`surefoot web`,
…) use the same.

Other packages are named, never imported: the core starts them and knows nothing of what is in them.
"""

from __future__ import annotations

import sys
from pathlib import Path

from surefoot.app.serving import WORKER

# one process: its threads wait for the store, not for the processor; long polls hold one each
WEB_THREADS = 16
WEB_GRACE_S = 5  # how long requests in hand may take when it stops
WORKER_CHILDREN = 2
LOOPBACK = "127.0.0.1,::1"


def python(*words: str) -> tuple[str, ...]:
    """A module run by this very interpreter."""
    return (sys.executable, "-m", *words)


def surefoot(*words: str) -> tuple[str, ...]:
    """One of our own commands, also where nothing is installed on PATH."""
    return python("surefoot.app.cli", *words)


def web(host: str, port: int, proxies: str = LOOPBACK) -> tuple[str, ...]:
    """gunicorn with the web server. It believes `proxies` (addresses and networks) what they say
    of their clients.

    It needs no control socket, which would lie in the user's home for all of them.
    """
    bind = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    words = ["gunicorn", "surefoot.web.wsgi:flask_app", "--bind", bind]
    words += ["--worker-class", WORKER, "--workers", "1"]
    words += [
        "--threads",
        str(WEB_THREADS),
        "--graceful-timeout",
        str(WEB_GRACE_S),
        "--no-control-socket",
    ]
    words += ["--no-sendfile", "--forwarded-allow-ips", proxies]
    return python(*words)


def worker(name: str, children: int = WORKER_CHILDREN) -> tuple[str, ...]:
    """A Celery worker; its lanes come from SUREFOOT_LANES (all when that says nothing)."""
    words = [
        "celery",
        "-A",
        "surefoot.workers.celery_app",
        "worker",
        "--hostname",
        f"{name}@%h",
        "--concurrency",
        str(children),
    ]
    return python(*words, "--loglevel", "INFO", "--without-gossip", "--without-mingle")


WORKER_ENV = {
    "REMAP_SIGTERM": "SIGQUIT"
}  # SIGTERM then is bounded: the soft shutdown time, then the work is handed back


def relay() -> tuple[str, ...]:
    """The relay: publishes what was not, sweeps, keeps deadlines. One of several is active."""
    return python("surefoot.workers.relay")


def flower(
    host: str, port: int, file: Path, *, tasks: int, save_s: float, path: str = ""
) -> tuple[str, ...]:
    """Flower, to look only. Its name and password come from FLOWER_BASIC_AUTH, out of the list of
    processes.

    It asks no worker to send events: they do by themselves, and refuse commands
    (`surefoot.workers.remote`).
    `path`: under which a proxy shows it, as in "flower". What it saw lies in `file`: the last
    `tasks` tasks, written every `save_s` seconds, so that is what a `kill -9` may cost.
    """
    words = [
        "celery",
        "-A",
        "surefoot.workers.celery_app",
        "flower",
        f"--address={host}",
        f"--port={port}",
        "--read_only=True",
    ]
    words += ["--enable_events=False", *([f"--url_prefix={path}"] if path else [])]
    return python(
        *words,
        "--persistent=True",
        f"--db={file}",
        f"--max_tasks={tasks}",
        f"--state_save_interval={int(save_s * 1000)}",
    )


def redis(binary: str, directory: Path, port: int) -> tuple[str, ...]:
    """A broker that keeps what it was given: append-only file on, nothing ever evicted. Its users
    are named in `directory`/redis.conf.
    """
    words = [
        binary,
        str(directory / "redis.conf"),
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--dir",
        str(directory),
    ]
    words += [
        "--daemonize",
        "no",
        "--appendonly",
        "yes",
        "--appendfsync",
        "everysec",
        "--save",
        "",
        "--maxmemory-policy",
        "noeviction",
    ]
    return tuple(words)
