"""docker-compose.yml, read without Docker: what nobody would notice before it matters."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
import yaml
from psycopg import sql
from sqlalchemy import make_url

from surefoot.app.config import Settings
from surefoot.app.saga.registry import Registry
from surefoot.app.supervisor import private, redis_server
from surefoot.app.supervisor.leash import leashed
from surefoot.app.supervisor.redis_users import acl_of, users
from surefoot.workers.lanes import lanes_of
from tests.support.ports import free_port
from tests.support.postgres_server import PostgresServer
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
FILE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
LONG_LIVED = [name for name in SERVICES if name not in ("check", "prepare", "shell")]
OF_SERVICES = {
    f"SUREFOOT_{service}_DATABASE_URL" for service in ("ORDER", "INVENTORY", "PAYMENT", "MAIL")
}
STORE, BROKER = "SUREFOOT_DATABASE_URL", "SUREFOOT_BROKER_URL"
WORKER = {STORE, BROKER, *OF_SERVICES}
SECRETS = {  # service -> the secrets that its environment has
    "proxy": set(),
    "web": {STORE, BROKER, "SUREFOOT_SECRET"},
    "relay": {STORE, BROKER},
    "worker-shop": WORKER,
    "worker-payments": WORKER,
    "worker-mail": WORKER,
    "services": {BROKER, *OF_SERVICES, "SUREFOOT_EVENTS_SECRET", "SUREFOOT_EVENTS_SECRET_ALSO"},
    "bank": {"SUREFOOT_BANK_DATABASE_URL"},
    "flower": {BROKER, "SUREFOOT_FLOWER_BASIC_AUTH"},
    "prepare": {STORE, *OF_SERVICES, "SUREFOOT_API_KEY"},
    "shell": {*WORKER, "SUREFOOT_API_KEY"},
}
BROKER_USERS = {
    "web": "web",
    "relay": "relay",
    "services": "services",
    "flower": "flower",
    "shell": "operator",
}
ROLES = {STORE: "surefoot_store", "SUREFOOT_BANK_DATABASE_URL": "surefoot_bank"} | dict.fromkeys(
    OF_SERVICES, "surefoot_services"
)


def example() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_given_the_installed_sagas_then_each_lane_has_a_worker() -> None:
    commands = [
        service["command"] for name, service in SERVICES.items() if name.startswith("worker-")
    ]
    served = {lane for words in commands for lane in words[words.index("--lanes") + 1].split(",")}
    assert served >= set(lanes_of(Registry.load(())))


def test_given_the_file_then_what_is_secret_is_asked_for_and_the_example_names_it() -> None:
    asked = set(re.findall(r"\$\{(\w+):\?", TEXT))
    assert len(asked) == 14
    assert set(example()) == asked
    assert all(
        "example" in value for value in example().values()
    )  # docker/check.sh refuses them elsewhere than on loopback
    assert len(set(example().values())) == 14
    Settings(api_key=example()["SUREFOOT_API_KEY"], secret=example()["SUREFOOT_SECRET"])


def test_given_each_service_then_it_has_its_own_secrets_and_is_a_user_of_its_own() -> None:
    assert set(SECRETS) | {"postgres", "redis", "check"} == set(SERVICES)
    for name, wanted in SECRETS.items():
        told = SERVICES[name].get("environment", {})
        assert {variable for variable in told if variable in private.secrets()} - {
            "SUREFOOT_MAIL"
        } == wanted, name
        for variable in {*ROLES} & set(told):
            assert f"//{ROLES[variable]}:${{" in told[variable], (name, variable)
        if BROKER in told:
            assert f"redis://{BROKER_USERS.get(name, 'worker')}:" in told[BROKER], name
        passwords = set(re.findall(r"SUREFOOT_\w+_PASSWORD", str(told)))
        assert len(passwords) == len(
            {value.split("//")[1].split(":")[0] for value in told.values() if "PASSWORD" in value}
        ), name
    words = [
        str(service.get("command")) + str(service.get("entrypoint"))
        for service in SERVICES.values()
    ]
    assert not any(
        "PASSWORD" in word or "SECRET" in word for word in words
    )  # the list of processes is read by everybody


def test_given_the_networks_then_only_what_speaks_to_a_server_reaches_it() -> None:
    reach = {
        net: {name for name, service in SERVICES.items() if net in service.get("networks", ())}
        for net in FILE["networks"]
    }
    workers = {"worker-shop", "worker-payments", "worker-mail"}
    assert reach["store"] == {
        "postgres",
        "prepare",
        "web",
        "relay",
        "services",
        "shell",
        *workers,
    }
    assert reach["broker"] == {"redis", "web", "relay", "services", "flower", "shell", *workers}
    assert reach["books"] == {"postgres", "bank"}
    assert reach["bank"] == {"bank", "services", "shell", *workers}
    assert reach["front"] == {"proxy", "web", "flower", "shell"}
    assert reach["outside"] == {"proxy", "services", *workers}
    assert all(
        FILE["networks"][net]["internal"] for net in ("store", "broker", "books", "bank", "front")
    )
    assert SERVICES["check"]["network_mode"] == "none"
    assert (
        FILE["networks"]["front"]["ipam"]["config"][0]["subnet"]
        == SERVICES["web"]["environment"]["SUREFOOT_TRUSTED_PROXIES"]
    )


def test_given_a_published_port_then_it_is_the_proxys_and_on_loopback_unless_said_otherwise() -> (
    None
):
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["proxy"]
    assert SERVICES["proxy"]["ports"] == [
        "${SUREFOOT_PUBLISH_ON:-127.0.0.1}:${SUREFOOT_WEB_PORT:-8000}:8080"
    ]


def test_given_each_container_then_it_is_nobody_special_and_has_bounds() -> None:
    for name, service in SERVICES.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["read_only"] is True, name
        assert service["pids_limit"] > 0, name
        assert service["mem_limit"], name
        assert name not in LONG_LIVED or service["healthcheck"], name
    assert SERVICES["redis"]["user"] == "redis"
    added = {name: service["cap_add"] for name, service in SERVICES.items() if "cap_add" in service}
    assert added == {"postgres": ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"]}
    assert SERVICES["flower"]["volumes"] == [
        "flower:/var/lib/surefoot"
    ]  # a pickle: others must not write it


def test_given_a_worker_then_its_stop_grace_is_longer_than_its_soft_shutdown() -> None:
    worker = SERVICES["worker-shop"]
    soft_s = float(worker["environment"]["SUREFOOT_SOFT_SHUTDOWN_SECONDS"])
    assert float(worker["stop_grace_period"].removesuffix("s")) >= soft_s + 15


def test_given_each_image_then_it_can_be_pinned_by_its_digest() -> None:
    for name in ("postgres", "redis"):
        assert re.fullmatch(r"\$\{SUREFOOT_\w+_IMAGE:-\w+:[\d.]+\}", SERVICES[name]["image"])
    for path, name, argument in (
        ("Dockerfile", "prepare", "PYTHON_IMAGE"),
        ("docker/proxy/Dockerfile", "proxy", "DEBIAN_IMAGE"),
    ):
        default = re.findall(
            rf"ARG {argument}=(\S+)\nFROM \$\{{{argument}\}}\n", (ROOT / path).read_text()
        )
        assert SERVICES[name]["build"]["args"] == {
            argument: f"${{SUREFOOT_{argument}:-{default[0]}}}"
        }


def test_given_the_images_then_they_run_as_nobody_special() -> None:
    words = (ROOT / "Dockerfile").read_text()
    assert "\nUSER surefoot\n" in words
    assert "--only-binary :all: --require-hashes -r requirements.txt" in words
    assert "\nUSER surefoot\n" in (ROOT / "docker/proxy/Dockerfile").read_text()


def test_given_the_proxy_then_it_bounds_time_and_size_and_says_who_asked() -> None:
    conf = (ROOT / "docker/proxy/nginx.conf").read_text()
    for line in (
        "client_header_timeout 10s;",
        "client_body_timeout 10s;",
        "proxy_request_buffering on;",
        "proxy_set_header X-Forwarded-For $remote_addr;",
        "proxy_set_header X-Forwarded-Proto $scheme;",
        "proxy_set_header Host $http_host;",
        "location = /flower/metrics { return 404; }",
    ):
        assert line in conf
    most = int(re.findall(r"client_max_body_size (\d+)k;", conf)[0]) * 1024
    assert Settings().body_bytes < most < 2 * Settings().body_bytes
    locations = conf.partition("server {")[2]
    assert "proxy_set_header" not in locations  # one there would undo those above


# --- the scripts ---------------------------------------------------------------------------------------------------
def check(published_on: str, **changes: str) -> subprocess.CompletedProcess[str]:
    own = {name: value.replace("example", "own") for name, value in example().items()}
    env = {"PATH": os.environ["PATH"], "SUREFOOT_PUBLISHED_ON": published_on, **own, **changes}
    return subprocess.run(
        ["sh", ROOT / "docker/check.sh"], env=env, capture_output=True, text=True, check=False
    )


def test_given_any_secret_of_the_example_when_others_reach_us_then_it_is_refused_by_name() -> None:
    assert check("0.0.0.0").returncode == 0
    for name, value in example().items():
        refused = check("0.0.0.0", **{name: value})
        assert refused.returncode == 1
        assert refused.stderr.rstrip().endswith(f": {name}"), refused.stderr
        assert value not in refused.stderr
        assert check("", **{name: value}).returncode == 1
        assert check("127.0.0.1", **{name: value}).returncode == 0


def test_given_a_new_env_when_made_then_it_has_every_secret_and_none_of_the_example() -> None:
    made, again = (
        subprocess.run(
            ["sh", ROOT / "docker/make-env.sh"], capture_output=True, text=True, check=True
        ).stdout
        for _ in "ab"
    )
    told = dict(line.split("=", 1) for line in made.splitlines())
    assert set(told) == set(example())
    assert not set(made.splitlines()) & set(again.splitlines())
    assert all(len(value) >= 32 and value.replace(":", "").isalnum() for value in told.values())
    assert check("0.0.0.0", **told).returncode == 0


@pytest.fixture
def compose_redis(tmp_path: Path) -> Iterator[int]:
    """The port of a Redis started as its container starts it."""
    port = free_port()
    env = {
        **os.environ,
        **example(),
        "TMPDIR": str(tmp_path),
        "PATH": f"{Path(redis_server.find()).parent}:{os.environ['PATH']}",
    }
    words = [
        "sh",
        str(ROOT / "docker/redis.sh"),
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--dir",
        str(tmp_path),
    ]
    with (tmp_path / "log").open("ab") as log:
        process = subprocess.Popen(
            leashed(tuple(words)),
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_until(
            lambda: "eady to accept connections" in (tmp_path / "log").read_text(), 30, what="Redis"
        )
        yield port
    finally:
        process.kill()
        process.wait()


def test_given_redis_of_the_file_when_started_then_each_part_is_let_in_as_itself_and_nobody_else(
    compose_redis: int,
) -> None:
    assert (ROOT / "docker/redis-users.acl").read_text() == acl_of(
        {user: f"@{user}@" for user in users()}
    )
    for user in users():
        password = example()[f"SUREFOOT_REDIS_{user.upper()}_PASSWORD"]
        with redis.Redis(
            port=compose_redis, username=user, password=password, protocol=2
        ) as client:
            assert client.ping()
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.config_get("dir")
    with (
        redis.Redis(port=compose_redis, protocol=2) as client,
        pytest.raises(redis.exceptions.AuthenticationError),
    ):
        client.ping()


def test_given_a_new_database_when_its_roles_are_made_then_none_sees_what_is_anothers(
    postgres_server: PostgresServer, fresh_postgres: str
) -> None:
    url = make_url(fresh_postgres)
    server = {"PGHOST": url.host or "", "PGPORT": str(url.port), "PGPASSWORD": url.password or ""}
    env = {
        **os.environ,
        **example(),
        **server,
        "POSTGRES_USER": url.username or "",
        "POSTGRES_DB": url.database or "",
    }
    schemas = {
        "store": ("store",),
        "services": ("order_service", "inventory_service", "payment_service", "mail_service"),
        "bank": ("bank_service",),
    }

    def as_role(role: str) -> psycopg.Connection[Any]:
        password = example()[f"SUREFOOT_{role.upper()}_PASSWORD"]
        return psycopg.connect(
            host=url.host,
            port=url.port,
            dbname=url.database,
            user=f"surefoot_{role}",
            password=password,
            autocommit=True,
        )

    try:
        subprocess.run(
            ["sh", ROOT / "docker/postgres-roles.sh"], env=env, check=True, capture_output=True
        )
        for role, own in schemas.items():
            with as_role(role) as connection:
                for schema in own:
                    connection.execute(
                        sql.SQL("CREATE TABLE {} (n int)").format(sql.Identifier(schema, "t"))
                    )
                facts = connection.execute(
                    "SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = current_user"
                )
                assert facts.fetchone() == (False, False, False)
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute("CREATE TABLE public.t (n int)")
        for role, own in schemas.items():
            with as_role(role) as connection:
                for schema in (
                    schema for other in schemas.values() for schema in other if other != own
                ):
                    with pytest.raises(psycopg.errors.InsufficientPrivilege):
                        connection.execute(
                            sql.SQL("SELECT * FROM {}").format(sql.Identifier(schema, "t"))
                        )
                if role != "services":
                    connection.execute("CREATE TABLE found_by_its_path (n int)")
    finally:
        with psycopg.connect(
            host=url.host,
            port=url.port,
            dbname=url.database,
            user=url.username,
            password=url.password,
            autocommit=True,
        ) as connection:
            for role in schemas:
                name = sql.Identifier(f"surefoot_{role}")
                connection.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(name))
                connection.execute(sql.SQL("DROP ROLE {}").format(name))
