"""Settings, read once from the environment and checked at start.

Every setting is the environment variable `SUREFOOT_` and its name in capitals
(`surefoot.app.environment`: and four famous ones); seconds are floats, sizes are bytes. A variable
that is empty is one that is not set. A setting that cannot work is refused in one sentence that
names it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from surefoot.app import environment
from surefoot.app.addresses import (
    checked_broker,
    checked_http,
    checked_origin,
    checked_store,
    driver_url,
    parts_of,
    url_of,
    words_of,
)
from surefoot.app.errors import DefinitionError, SettingsError
from surefoot.app.faults import Fault, parse_faults

LANE_LIMITS_S = {"fast": 60.0, "slow": 6 * 3600.0}
DEFAULT_LANE_LIMIT_S = 600.0
ACTS_DAYS_LEAST = 365  # the store itself refuses to delete an act that is younger
SECRET_CHARACTERS = 16
WEB_PORT = 8000
QUEUE_PREFIX_CHARS = 64
S = TypeVar("S", bound=BaseSettings)

# The most of anything: above it a database cannot reckon with a time, or keep a number (and no nan,
# no infinity).
LONGEST_S = 10 * 366 * 86400.0
Seconds = Annotated[float, Field(gt=0, le=LONGEST_S, allow_inf_nan=False)]
SecondsOrNone = Annotated[float, Field(ge=0, le=LONGEST_S, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
Bytes = Annotated[int, Field(ge=1024, le=1 << 30)]


class OurSettings(BaseSettings):
    """What a process was told. Frozen: a process does not change its mind. Saga packages have settings of this kind, too."""

    model_config = SettingsConfigDict(
        frozen=True,
        case_sensitive=False,
        extra="ignore",
        env_ignore_empty=True,
        env_prefix=environment.PREFIX,
    )

    @model_validator(mode="before")
    @classmethod
    def _famous(cls, told: dict[str, Any]) -> dict[str, Any]:
        if cls.model_config.get("env_prefix") != environment.PREFIX:
            return told
        found = {
            name: environment.famous(name)
            for name in environment.FAMOUS
            if name in cls.model_fields
        }
        return {**{name: value for name, value in found.items() if value}, **told}


class Settings(OurSettings):
    """The settings of every part of Surefoot."""

    # where things are
    home: Path = Path("var")
    database_url: str = ""
    broker_url: str = ""
    queue_prefix: str = "surefoot."  # what all our names on the broker begin with
    host: str = "127.0.0.1"
    port: int | None = Field(None, ge=1, le=65535)
    # the address that browsers use, other hosts that requests may name, proxies whose
    # X-Forwarded-… are believed
    public_url: str = ""
    hosts: str = ""
    trusted_proxies: str = "127.0.0.1,::1"
    # peers of the web server: how long a head, a body and the reading of an answer may take,
    # bytes a second from which on a body or a reader counts as moving, how long a connection may
    # be idle, how many there may be, and how many of one address
    head_seconds: Seconds = 10.0
    body_seconds: Seconds = 60.0
    answer_seconds: Seconds = 60.0
    least_rate_bytes: Count = 500
    keepalive_seconds: Seconds = 15.0
    connections: int = Field(500, ge=20, le=100_000)
    address_connections: Count = 100
    flower_port: int | None = Field(None, ge=1, le=65535)
    # Flower: where people find it (pages link to it), what it keeps over a restart
    flower_url: str = ""
    flower_basic_auth: str = ""  # user:password
    flower_max_tasks: Count = 10_000
    flower_save_seconds: Seconds = 10.0
    # PostgreSQL: no answer for so long, and its connection is given up
    store_silence_seconds: Seconds = 15.0
    # how long a migration tries to lock the tables that others work with
    migration_wait_seconds: Seconds = 300.0
    # what runs
    env: Literal["production", "test", "drill"] = "production"
    sagas: str = ""
    faults: str = ""
    api_key: str = ""
    secret: str = ""
    # a browser's session: how long it may be unused, and how long it lasts in any case
    session_idle_seconds: Annotated[float, Field(ge=60, le=LONGEST_S, allow_inf_nan=False)] = 3600.0
    session_seconds: Annotated[float, Field(ge=60, le=LONGEST_S, allow_inf_nan=False)] = 12 * 3600.0
    # for how long the relay keeps what is over, days; 0 acts: for good
    session_days: Annotated[int, Field(ge=0, le=36500)] = 90
    acts_days: Annotated[int, Field(ge=0, le=36500)] = 3650
    # the three time-outs that belong to the engine
    lease_seconds: Seconds = 15.0
    heartbeat_seconds: Seconds = 5.0
    run_on_seconds: SecondsOrNone = 2.0
    # how long a message may keep the others of its batch waiting
    batch_seconds: SecondsOrNone = 0.25
    hard_limit_grace_seconds: Seconds = 5.0
    soft_shutdown_seconds: Seconds = 20.0
    # a worker and a relay touch it each time their loop has gone round
    heartbeat_file: Path | None = None
    # the relay's sweeps
    sweep_seconds: Seconds = 0.5
    sweep_rows: Count = 200
    unsent_seconds: Seconds = 1.0
    # lanes in turn: messages of one tenant in a lane's queue, and how often the relay refills it
    tenant_window: Count = 10
    turn_seconds: Seconds = 0.1
    lost_seconds: Seconds = 60.0
    # dead letters: how many one request redrives, how many are shown in the broker's lane `dead`,
    # how often that is looked at
    redrive_letters: int = Field(10_000, ge=1, le=100_000)
    mirror_letters: int = Field(1_000, ge=0, le=100_000)
    mirror_seconds: Seconds = 2.0
    # /healthz: how long an answer of the broker and of the queues is good for
    # /healthz and doctor: how long the oldest operation may lie ready
    health_seconds: Seconds = 5.0
    health_wait_seconds: Seconds = 120.0
    # publishing
    publish_timeout_seconds: Seconds = 0.5
    publish_pause_seconds: SecondsOrNone = 5.0
    # log lines (surefoot.app.logs)
    log_format: Literal["auto", "json", "text"] = "auto"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    # semantic locks: keys of one job, characters of one key, how often a job that waits looks by
    # itself
    lock_keys: int = Field(16, ge=1, le=1000)
    lock_key_chars: int = Field(200, ge=1, le=218)
    lock_recheck_seconds: Seconds = 30.0
    # reconciliation: how often (0: never by itself), how many jobs at once, keys of one question to
    # a service, how far back it looks
    reconcile_seconds: SecondsOrNone = 300.0
    reconcile_rows: int = Field(500, ge=1, le=10_000)
    reconcile_keys: int = Field(100, ge=1, le=10_000)
    reconcile_window_seconds: Seconds = 7 * 24 * 3600.0
    # requests a second (0: without bound) and at once: of a key, and of an address whose key is
    # not known; wrong keys of one address
    key_rate: float = Field(100.0, ge=0, le=1_000_000, allow_inf_nan=False)
    key_burst: Count = 1000
    address_rate: float = Field(50.0, ge=0, le=1_000_000, allow_inf_nan=False)
    address_burst: Count = 500
    wrong_keys_minute: int = Field(30, ge=0, le=1_000_000)
    # of one tenant; a job beyond is refused, over HTTP and by the command line, until some have
    # ended
    open_jobs: Count = 5_000
    # of one operation that a drill strikes at; of more it takes so many, evenly apart
    drill_lines: Count = 20
    # sizes
    input_bytes: Bytes = 256 * 1024
    result_bytes: Bytes = 64 * 1024
    # that a worker's child may have more than at its start, until it is retired
    leaked_descriptors: Count = 200
    leaked_threads: Count = 50  # the same of threads that steps started and left behind
    child_failures: Count = 25  # attempts in a row that fail in one child, until it is replaced
    checkpoint_bytes: Bytes = 64 * 1024  # of what ctx.checkpoint keeps: it is read with each claim
    progress_chars: Count = 500  # of a message of ctx.progress; the rest is cut off
    body_bytes: Bytes = 1024 * 1024
    # of one message; a chain carries its whole rest in each
    message_bytes: int = Field(256 * 1024, ge=16 * 1024, le=1 << 30)
    # how long an undo may take before a person is told
    undo_seconds: Seconds = 24 * 3600.0

    @field_validator("home")
    @classmethod
    def _folder(cls, value: Path) -> Path:
        if value.exists() and not value.is_dir():
            raise ValueError(f"{value} is not a folder")
        return value

    @field_validator("api_key")
    @classmethod
    def _long_enough(cls, value: str) -> str:
        if value and len(value) < 32:
            raise ValueError("must have 32 characters or more")
        return value

    @field_validator("secret")
    @classmethod
    def _hard_to_guess(cls, value: str) -> str:
        if value and len(value) < SECRET_CHARACTERS:
            raise ValueError(
                f"is too short; give all web processes the same {SECRET_CHARACTERS} random characters or more"
            )
        return value

    @field_validator("acts_days")
    @classmethod
    def _a_year_at_least(cls, value: int) -> int:
        if 0 < value < ACTS_DAYS_LEAST:
            raise ValueError(f"must be 0 (for good), or {ACTS_DAYS_LEAST} or more")
        return value

    @field_validator("host")
    @classmethod
    def _address(cls, value: str) -> str:
        if not value.isascii() or not value.isprintable() or set(value) & set(" /@[]"):
            raise ValueError(
                "must be a name or an address of this machine, such as 127.0.0.1, 0.0.0.0 or ::"
            )
        return value

    @field_validator("public_url")
    @classmethod
    def _origin(cls, value: str) -> str:
        return checked_origin(value)

    @field_validator("hosts")
    @classmethod
    def _names_of_hosts(cls, value: str) -> str:
        for host in words_of(value):
            if host.isdigit() or not parts_of(f"//{host}").hostname or set(host) & set("/@?#"):
                raise ValueError(
                    f"must be names of hosts, each with a port or without, not {host!r}"
                )
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: str) -> str:
        for network in words_of(value):
            if network != "*":
                ipaddress.ip_network(network, strict=False)  # its ValueError says what is wrong
        return value

    @field_validator("flower_url")
    @classmethod
    def _of_a_browser(cls, value: str) -> str:
        return checked_http(value).rstrip("/")

    @field_validator("flower_basic_auth")
    @classmethod
    def _lets_somebody_in(cls, value: str) -> str:
        user, _, password = value.partition(":")
        if value and not (user and password):
            raise ValueError("must be user:password; as it is, it would let nobody in")
        return value

    @field_validator("broker_url")
    @classmethod
    def _known_broker(cls, value: str) -> str:
        return checked_broker(value)

    @field_validator("queue_prefix")
    @classmethod
    def _prefix(cls, value: str) -> str:
        fits = re.fullmatch(rf"[A-Za-z0-9._-]{{1,{QUEUE_PREFIX_CHARS}}}", value, re.ASCII)
        if not fits or value.startswith("amq."):
            raise ValueError(
                f"must be 1 to {QUEUE_PREFIX_CHARS} letters, digits, dots, dashes and underscores,"
                f" and not begin with amq., which RabbitMQ keeps for itself; not {value!r}"
            )
        return value

    @field_validator("database_url")
    @classmethod
    def _known_store(cls, value: str) -> str:
        return checked_store(value)

    @field_validator("faults")
    @classmethod
    def _known_faults(cls, value: str) -> str:
        try:
            parse_faults(value)
        except SettingsError as error:
            raise ValueError(error.message) from None
        return value

    @model_validator(mode="after")
    def _fit_together(self) -> Settings:
        if self.heartbeat_seconds * 2 > self.lease_seconds:
            raise ValueError(
                "SUREFOOT_HEARTBEAT_SECONDS must be at most half of SUREFOOT_LEASE_SECONDS, or one late heartbeat loses the lease"
            )
        if self.sweep_seconds >= self.lease_seconds:
            raise ValueError(
                "SUREFOOT_SWEEP_SECONDS must be below SUREFOOT_LEASE_SECONDS, or the relay loses its lease between two rounds"
            )
        if self.unsent_seconds >= self.lost_seconds:
            raise ValueError(
                "SUREFOOT_UNSENT_SECONDS must be below SUREFOOT_LOST_SECONDS, or a message counts as lost before it counts as not sent"
            )
        if self.lost_seconds < self.lease_seconds:
            raise ValueError(
                "SUREFOOT_LOST_SECONDS must be at least SUREFOOT_LEASE_SECONDS, which is when a message of an empty lane counts as lost"
            )
        if self.publish_timeout_seconds >= self.lease_seconds:
            raise ValueError(
                "SUREFOOT_PUBLISH_TIMEOUT_SECONDS must be below SUREFOOT_LEASE_SECONDS, or one message costs the relay its lease"
            )
        if self.faults and self.env == "production":
            raise ValueError("SUREFOOT_FAULTS is refused unless SUREFOOT_ENV is test or drill")
        return self

    @property
    def pages_url(self) -> str:
        """Where people find our pages, without a slash at the end."""
        return self.public_url.rstrip("/") or url_of(self.host, self.port or WEB_PORT)

    @property
    def store_url(self) -> str:
        """The engine's database: DATABASE_URL, else a SQLite file under the home."""
        return (
            driver_url(self.database_url)
            if self.database_url
            else f"sqlite:///{(self.home / 'surefoot.sqlite').absolute()}"
        )

    @property
    def public_host(self) -> str:
        """Host, and port unless it is the scheme's own, of SUREFOOT_PUBLIC_URL; "" without one."""
        return urlsplit(self.public_url).netloc

    @property
    def secure(self) -> bool:
        """Whether browsers come by https only, because SUREFOOT_PUBLIC_URL says so."""
        return self.public_url.startswith("https:")

    @property
    def saga_modules(self) -> tuple[str, ...]:
        return words_of(self.sagas)

    @property
    def fault_plan(self) -> tuple[Fault, ...]:
        """What SUREFOOT_FAULTS says."""
        return parse_faults(self.faults)

    def lane_limit_seconds(self, lane: str) -> float:
        """The longest an operation of this lane may take."""
        return LANE_LIMITS_S.get(lane, DEFAULT_LANE_LIMIT_S)


@lru_cache
def settings() -> Settings:
    """This process's settings.

    Raises: SettingsError, one sentence that names the setting.
    """
    return built(Settings)


def built(model: type[S]) -> S:
    """Settings as the environment has them. Raises: SettingsError that names the setting."""
    try:
        return model()
    except ValidationError as error:
        raise _refusal(error, model.model_config.get("env_prefix", "")) from error


def _refusal(error: ValidationError, prefix: str) -> SettingsError:
    """What is wrong with settings, in one sentence with the name. `prefix`: of the variables of
    these settings.
    """
    first = error.errors()[0]
    field = str(first["loc"][0]) if first["loc"] else ""
    name = field and (environment.origin(field, prefix) or environment.variable(field, prefix))
    said = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return SettingsError(f"{name + ': ' if name else ''}{said}")


@contextmanager
def or_exit() -> Iterator[None]:
    """For a process that begins: settings or sagas that cannot work end it in one sentence, with 1."""
    try:
        yield
    except (SettingsError, DefinitionError) as error:
        raise SystemExit(f"surefoot: {error.message}") from None
