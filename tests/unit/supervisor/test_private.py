"""Who is told which secret, and what each user of a Redis of our own may do."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from surefoot.app.config import Settings
from surefoot.app.supervisor import private, redis_server, redis_users, stack
from surefoot.app.supervisor.home import tighten
from surefoot.app.supervisor.leash import leashed
from surefoot.workers.sagas.order.commands import SERVICES
from surefoot.workers.sagas.order_choreographed import parts
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

NOT_SECRET = {
    "HOME": "/x",
    "SUREFOOT_HOME": "/y",
    "SUREFOOT_BANK_URL": "http://b",
    "STRIPE_KEY": "of a step",
}
WANTED = {
    "web": {"SUREFOOT_SECRET", "SUREFOOT_DATABASE_URL", "SUREFOOT_BROKER_URL", "PGPASSWORD"},
    "relay": {"SUREFOOT_DATABASE_URL", "SUREFOOT_BROKER_URL", "PGPASSWORD"},
    "worker-12": {
        "SUREFOOT_DATABASE_URL",
        "SUREFOOT_BROKER_URL",
        "PGPASSWORD",
        *SERVICES,
    },
    "services": {
        "SUREFOOT_DATABASE_URL",
        "SUREFOOT_BROKER_URL",
        "PGPASSWORD",
        *SERVICES,
        "SUREFOOT_EVENTS_SECRET",
        "SUREFOOT_EVENTS_SECRET_ALSO",
    },
    "bank": {"SUREFOOT_DATABASE_URL", "PGPASSWORD", "SUREFOOT_BANK_DATABASE_URL"},
    "flower": {"SUREFOOT_BROKER_URL", "SUREFOOT_FLOWER_BASIC_AUTH", "FLOWER_BASIC_AUTH"},
    "broker": set(),
    "brought-by-a-package": set(),
}


def test_given_every_secret_when_a_part_is_told_then_its_own_and_nothing_else() -> None:
    everything = {**NOT_SECRET, **dict.fromkeys(private.secrets(), "hush")}
    for part, wanted in WANTED.items():
        told = private.told(everything, part)
        assert told == {
            **NOT_SECRET,
            **dict.fromkeys(wanted, "hush"),
            private.PART: private.kind_of(part),
        }, part


def test_given_a_redis_of_our_own_when_a_part_is_told_then_as_a_user_of_its_own(
    tmp_path: Path,
) -> None:
    env = {"SUREFOOT_BROKER_URL": redis_users.url("kept", redis_users.OPERATOR, "127.0.0.1:7/0")}
    tell = stack.teller(env, "kept")
    urls = {part: tell(part).get("SUREFOOT_BROKER_URL") for part in WANTED}
    assert urls["worker-12"] == redis_users.url("kept", "worker", "127.0.0.1:7/0")
    assert {part for part, url in urls.items() if url is None} == {
        "bank",
        "broker",
        "brought-by-a-package",
    }
    assert len(set(urls.values())) == 6
    assert stack.teller(env, None)("web")["SUREFOOT_BROKER_URL"] == env["SUREFOOT_BROKER_URL"]
    assert "kept" not in redis_users.acl_file("kept")
    assert redis_users.password("kept", "web") not in redis_users.acl_file("kept")


@pytest.fixture(params=["system", "bundled"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Where a broker of our own listens: of this machine's Redis, and of the one in the wheel."""
    if request.param == "bundled":
        monkeypatch.setattr(redis_server, "find", redis_server.bundled)
    part, port, _ = stack.broker(tmp_path / "a home", "kept", None)
    with (tmp_path / "log").open("ab") as log:
        process = subprocess.Popen(
            leashed(part.command),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_until(lambda: part.ready(process.pid), 30, what="Redis")
        yield f"127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait()


ADMINISTRATION = """CONFIG GET dir|CONFIG SET dir /tmp|CONFIG SET maxmemory 1|MODULE LOAD /x.so|MODULE LIST|DEBUG SLEEP 0|SAVE|BGSAVE
SHUTDOWN NOSAVE|ACL LIST|ACL SETUSER web +@all|REPLICAOF 127.0.0.1 1|MONITOR|CLIENT KILL TYPE normal|SLOWLOG GET
LATENCY RESET|BGREWRITEAOF|EVAL return(1) 0|SCRIPT FLUSH"""
OF_NO_PART = "FLUSHALL|FLUSHDB|KEYS *|SWAPDB 0 1|MIGRATE 127.0.0.1 1 k 0 1|RESTORE k 0 x|CLIENT LIST|RENAME a b|SORT a"
REFUSED = {
    "web": "BRPOP east 1|RPOP east|LRANGE east 0 9|EVALSHA x 0|RPUSH east x|SUBSCRIBE c",
    "relay": "BRPOP east 1|EVALSHA x 0|RPOP east",
    "flower": "LPUSH east forged|RPUSH east forged|LTRIM east 0 0",
    "services": "LPUSH east forged|RPOP east|LLEN east|GET surefoot:marker",
}
ALLOWED = {
    "web": "LPUSH east x|LLEN east",
    "relay": "LLEN east|GET surefoot:marker|INFO server|LRANGE dead 0 9",
    "worker": "LPUSH east x|RPOP east|ZADD unacked_index 1 t|SCRIPT LOAD return(1)",
    "flower": "LLEN east|PUBLISH c x|INFO server|SADD _kombu.binding.celeryev x",
    "services": "LPUSH order.events/q x|SADD order.events/_kombu.binding.order.events x",
    redis_users.OPERATOR: "FLUSHALL|INFO server|DBSIZE|LPUSH east x",
}


def test_given_each_user_when_it_administrates_or_does_what_is_not_its_part_then_refused(
    place: str,
) -> None:
    for user in redis_users.users():
        refused = ADMINISTRATION.replace("\n", "|").split("|") + REFUSED.get(user, "").split("|")
        if user != redis_users.OPERATOR:
            refused += OF_NO_PART.split("|")
        with redis.Redis.from_url(redis_users.url("kept", user, place), protocol=2) as client:
            assert client.ping()
            for command in filter(None, refused):
                with pytest.raises(
                    redis.exceptions.ResponseError,
                    match=r"permission|(MODULE|DEBUG) command not allowed",
                ):
                    client.execute_command(*command.split())
            for command in ALLOWED[user].split("|"):
                client.execute_command(*command.split())
    for url in (f"redis://{place}", f"redis://:kept@{place}"):
        with (
            redis.Redis.from_url(url, protocol=2) as client,
            pytest.raises(redis.exceptions.AuthenticationError),
        ):
            client.ping()


def test_given_a_message_that_no_worker_should_read_when_it_is_sent_then_the_broker_takes_none_of_it(
    place: str,
) -> None:
    with redis.Redis.from_url(
        redis_users.url("kept", "worker", place), protocol=2, retry=None
    ) as client:
        with pytest.raises(redis.exceptions.RedisError):
            client.lpush("east", b"x" * (stack.LARGEST_BYTES + 1))
        client.lpush("east", b"x" * (stack.LARGEST_BYTES - 1))
        assert client.llen("east") == 1


def test_given_a_home_that_others_may_read_when_tightened_then_its_owner_alone_may(
    tmp_path: Path,
) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    (home / "log").mkdir(parents=True)
    home.chmod(0o755)
    for path in (home / "store.sqlite", home / "log" / "web.log", elsewhere):
        path.touch(0o644)
        path.chmod(0o644)
    (home / "link").symlink_to(elsewhere)
    tighten(home)
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in (home, home / "log", home / "store.sqlite", home / "log" / "web.log")
    }
    assert modes == {"home": 0o700, "log": 0o700, "store.sqlite": 0o600, "web.log": 0o600}
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o644


def test_given_a_part_of_surefoot_up_when_it_begins_then_the_run_file_tells_it_nothing(
    tmp_path: Path,
) -> None:
    (tmp_path / "run.json").write_text(
        '{"pid": 1, "web_url": "", "flower_url": "", "env": {"SUREFOOT_API_KEY": "%s"}}'
        % ("k" * 32)
    )
    ask = "import os; from surefoot.app.cli import COMMANDS as c; from surefoot.app.cli.group import Commands; "
    ask += "g = Commands(c); g.resolve_command(__import__('click').Context(g), ['keys']); print(os.environ.get('SUREFOOT_API_KEY'))"
    for more, said in (({}, "k" * 32), ({private.PART: "bank"}, "None")):
        env = {**os.environ, "SUREFOOT_HOME": str(tmp_path), **more}
        done = subprocess.run(
            [sys.executable, "-c", ask], env=env, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == said


def test_given_secrets_of_a_new_home_when_made_then_the_services_have_one_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = stack.secrets_of(Settings(home=tmp_path), tmp_path)
    (services,) = parts.begin(tmp_path).late
    events = services.env["SUREFOOT_EVENTS_SECRET"]
    assert len({made.api_key, made.signing, made.broker, made.flower, events}) == 5
    assert parts.begin(tmp_path).late[0].env == services.env
    monkeypatch.setenv("SUREFOOT_EVENTS_SECRET", "e" * 32)
    assert parts.begin(tmp_path).late[0].env == {"SUREFOOT_EVENTS_SECRET": "e" * 32}
    monkeypatch.setenv("SUREFOOT_CHOREOGRAPHY", "0")
    assert parts.begin(tmp_path).late == ()
