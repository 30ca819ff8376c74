"""`surefoot up`: the order of the start, what is said of it, and the end."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from surefoot.app.access.keys import ensure_admin
from surefoot.app.addresses import url_of
from surefoot.app.config import WEB_PORT, Settings
from surefoot.app.delivery.broker import probe
from surefoot.app.engine.relay.duties.broker_lost import republish_if_broker_lost
from surefoot.app.errors import TryLater
from surefoot.app.metrics.files import clean
from surefoot.app.saga.registry import Registry
from surefoot.app.store import migrate, schema_version
from surefoot.app.store.session import open_engine
from surefoot.app.supervisor import additions, banner, ports, runfile, stack
from surefoot.app.supervisor.home import PRIVATE_UMASK, locked, tighten
from surefoot.app.supervisor.supervisor import PortTaken, Stopped, Supervisor

PREPARED = "seeded"  # the file that says that saga packages have prepared this home
REMAINS_S = 5.0  # how long to wait for the processes of a supervisor that was killed


@dataclass(frozen=True)
class Chosen:
    """What this start decided."""

    home: Path
    secrets: stack.Secrets
    web_port: int
    flower_port: int
    added: additions.Begun


def up(settings: Settings, say: Callable[[str], None] = banner.say) -> None:
    """Start everything and keep it running until a signal says stop; then stop it in order.

    Raises: SettingsError when another one runs on this home, a port is taken, or a setting of the
    sagas cannot work; DefinitionError for a saga with a mistake; CannotStart when a part does not
    start.
    """
    home = settings.home.absolute()
    os.umask(PRIVATE_UMASK)
    Registry.load(
        settings.saga_modules
    )  # their broken settings are reported before anything is started
    with locked(home):
        tighten(home)
        while True:
            try:
                _up(settings, home, say)
            except PortTaken:
                continue
            return


def _up(settings: Settings, home: Path, say: Callable[[str], None]) -> None:
    """One start of everything, to the end.

    Raises: PortTaken when it has to begin anew; what `up` raises.
    """
    last = runfile.load(home)
    _wait_for_remains(last)
    chosen = _choose(settings, home)
    own_broker = (
        None
        if settings.broker_url
        else stack.broker(home, chosen.secrets.broker, last.broker_port if last else None, say)
    )
    broker_url = settings.broker_url or (own_broker[2] if own_broker else "")
    shared = stack.shared(settings, broker_url, chosen.added.told)
    env = stack.environment(
        settings, home, chosen.secrets, shared, chosen.web_port, chosen.flower_port
    )
    db = open_engine(settings.store_url)
    tell = stack.teller(env, chosen.secrets.broker if own_broker else None)
    supervisor = Supervisor(home / "log", env, say, tell)
    taken: PortTaken | None = None
    clean(home)
    try:
        if own_broker:
            supervisor.start(own_broker[0])
        _prepare_store(db, chosen.secrets.api_key)
        if own_broker:
            supervisor.until_ready(*supervisor.children)
        _greet_broker(db, broker_url)
        _start(supervisor, settings, chosen, db)
        web_url = url_of(settings.host, chosen.web_port)
        own = {"SUREFOOT_API_KEY": chosen.secrets.api_key, "SUREFOOT_URL": web_url}
        run = runfile.RunFile(
            pid=os.getpid(),
            web_url=web_url,
            flower_url=f"http://{stack.LOOPBACK}:{chosen.flower_port}",
            broker_port=own_broker[1] if own_broker else None,
            env={**shared, **own},
            groups=tuple(child.pid for child in supervisor.children if child.pid),
        )
        runfile.save(home, run)
        banner.show(supervisor.children, run, chosen.secrets, settings=settings)
        supervisor.watch()
    except Stopped:
        pass
    except PortTaken as error:
        say(f"{error.message}; everything starts again, on other ports")
        taken = error
    finally:
        supervisor.stop()
        db.dispose()
    if taken is not None and not supervisor.asked:
        raise taken


def _choose(settings: Settings, home: Path) -> Chosen:
    web_port = ports.choose("SUREFOOT_PORT", settings.host, settings.port, WEB_PORT)
    flower_port = ports.choose(
        "SUREFOOT_FLOWER_PORT",
        stack.LOOPBACK,
        settings.flower_port,
        stack.FLOWER_PORT,
        taken=frozenset({web_port}),
    )
    return Chosen(
        home,
        stack.secrets_of(settings, home),
        web_port,
        flower_port,
        additions.begin(home),
    )


def _prepare_store(db: Engine, api_key: str) -> None:
    if schema_version.current(db) != schema_version.head():
        migrate.upgrade(db)
    ensure_admin(db, api_key)


def _greet_broker(db: Engine, broker_url: str) -> None:
    """Before the first message: leave our mark in a broker that is new, or the relay would take it
    for one that lost everything.
    """
    with contextlib.suppress(TryLater):
        republish_if_broker_lost(db, probe(broker_url))


def _start(supervisor: Supervisor, settings: Settings, chosen: Chosen, db: Engine) -> None:
    """Start the rest in two batches. Between them a job can be taken and run.

    Each spends a second of processor time reading its code, and there may be two processors: what
    the first job needs goes first. The other parts are there when it is told of them, and ready a
    moment later.
    """
    soft_s = settings.soft_shutdown_seconds
    web = stack.web(settings.host, chosen.web_port, settings.trusted_proxies)
    needed = [supervisor.start(web), supervisor.start(stack.worker(1, db, soft_s))]
    needed += [supervisor.start(part) for part in chosen.added.early]
    _prepare(supervisor, chosen.home)
    supervisor.until_ready(*needed)
    supervisor.start(stack.relay())
    for number in range(2, stack.WORKERS + 1):
        supervisor.start(stack.worker(number, db, soft_s))
    for part in chosen.added.late:
        supervisor.start(part)
    supervisor.start(stack.flower(settings, chosen.home, chosen.flower_port, chosen.secrets.flower))


def _prepare(supervisor: Supervisor, home: Path) -> None:
    """Once for each home: what packages do takes longer to read than this question."""
    if (home / PREPARED).exists():
        return
    with _environment(supervisor.env), contextlib.redirect_stdout(None):
        additions.prepare()
    (home / PREPARED).touch()


@contextlib.contextmanager
def _environment(env: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(env)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _wait_for_remains(last: runfile.RunFile | None) -> None:
    """A supervisor that was killed is followed by its parts within moments; their ports are free
    then.
    """
    deadline = time.monotonic() + REMAINS_S
    while (
        last is not None
        and any(_runs(pgid) for pgid in last.groups)
        and time.monotonic() < deadline
    ):
        time.sleep(0.05)


def _runs(pgid: int) -> bool:
    try:
        os.killpg(pgid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True
