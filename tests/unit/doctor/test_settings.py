"""Settings that cannot work are refused in one sentence that names one of them."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from surefoot.app.config import Settings, settings
from surefoot.app.doctor import Level, examine
from surefoot.app.environment import variable
from surefoot.app.errors import SettingsError
from surefoot.workers.sagas.order.settings import OrderSettings, order_settings
from surefoot.workers.sagas.order_choreographed.settings import EventSettings, event_settings
from tests.support import warm

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "told",
    [
        {"SUREFOOT_SWEEP_SECONDS": "15"},
        {"SUREFOOT_LEASE_SECONDS": "2"},
        {"SUREFOOT_UNSENT_SECONDS": "60"},
        {"SUREFOOT_LOST_SECONDS": "14"},
        {"SUREFOOT_PUBLISH_TIMEOUT_SECONDS": "15"},
        {"BROKER_URL": "kafka://here"},
        {"BROKER_URL": "localhost:6379"},
        {"DATABASE_URL": "mysql://here/there"},
        {"DATABASE_URL": "sqlite://"},
        {"DATABASE_URL": "sqlite:///:memory:"},
        {"SUREFOOT_LOG_FORMAT": "yaml"},
        {"SUREFOOT_LEASE_SECONDS": "nan"},
        {"SUREFOOT_LOST_SECONDS": "1e400"},
        {"SUREFOOT_UNDO_SECONDS": "1e300"},
        {"SUREFOOT_SWEEP_ROWS": "99999999999999999999999"},
        {"SUREFOOT_BODY_BYTES": "-1"},
        {"DATABASE_URL": "postgresql://here:port/there"},
        {"DATABASE_URL": "postgresql+asyncpg://here/there"},
        {"BROKER_URL": "redis://:@here:99999/0"},
        {"BROKER_URL": "redis://here/first"},
        {"SUREFOOT_HOST": "http://here"},
        {"SUREFOOT_FLOWER_URL": "http://"},
        {"SUREFOOT_SECRET": "short"},
        {"SUREFOOT_HOME": "/dev/null"},
        {"SUREFOOT_FAULTS": "order.pay:crash@after_claim"},
    ],
    ids=lambda told: "=".join(*told.items()),
)
def test_given_setting_that_cannot_work_when_read_then_one_sentence_names_it(
    told: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        settings()
    assert "\n" not in refused.value.message
    assert next(iter(told)) in refused.value.message
    settings.cache_clear()
    (finding,) = examine(settings)
    assert (finding.about, finding.level) == ("settings", Level.FAIL)
    assert finding.fix


@pytest.mark.parametrize(
    "told",
    [
        {"SUREFOOT_BANK_URL": "ftp://here"},
        {"SUREFOOT_ORDER_DATABASE_URL": "mysql://here/there"},
        {"SUREFOOT_MAIL": "gopher://here"},
        {"SUREFOOT_RESERVE_WAIT_SECONDS": "nan"},
        {"SUREFOOT_EVENTS_THREADS": "many"},
        {"SUREFOOT_EVENTS_ASK_SECONDS": "1e400"},
    ],
    ids=lambda told: "=".join(*told.items()),
)
def test_given_setting_of_a_saga_that_cannot_work_when_read_then_one_sentence_names_it(
    told: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        (order_settings(), event_settings())
    assert refused.value.message.startswith(f"{next(iter(told))}: ")
    assert "\n" not in refused.value.message


@pytest.mark.parametrize("what", ["BACKOFF", "ASK", "POLL"])
def test_given_events_that_begin_above_their_cap_when_read_then_one_sentence_names_both(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"SUREFOOT_EVENTS_{what}_SECONDS", "61")
    with pytest.raises(SettingsError) as refused:
        event_settings()
    assert (
        refused.value.message
        == f"SUREFOOT_EVENTS_{what}_SECONDS must be at most SUREFOOT_EVENTS_{what}_CAP_SECONDS"
    )


def test_given_empty_variable_when_read_then_it_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SUREFOOT_HOME", "PORT", "SUREFOOT_HEARTBEAT_FILE", "SUREFOOT_LEASE_SECONDS"):
        monkeypatch.setenv(name, "")
    told = settings()
    assert (told.home, told.port, told.heartbeat_file, told.lease_seconds) == (
        Path("var"),
        None,
        None,
        15.0,
    )


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (
            ["surefoot.workers.celery_app"],
            "SUREFOOT_BANK_URL",
            "ftp://here",
        ),  # as `celery -A` imports it, which does not go through our command
        (["surefoot.workers.relay"], "BROKER_URL", "redis://here:port/0"),
        (["surefoot.app.cli", "up"], "SUREFOOT_EVENTS_THREADS", "many"),
        (["surefoot.app.cli", "up"], "SUREFOOT_FLOWER_BASIC_AUTH", "nobody"),
        (
            [
                "gunicorn",
                "surefoot.web.wsgi:flask_app",
                "--bind",
                "127.0.0.1:0",
                "--no-control-socket",
            ],
            "SUREFOOT_SECRET",
            "short",
        ),
    ],
    ids=lambda value: "" if isinstance(value, list) else value,
)
def test_given_setting_that_cannot_work_when_a_process_starts_then_one_sentence_and_no_traceback(
    words: list[str], name: str, value: str, tmp_path: Path
) -> None:
    env = {**os.environ, "SUREFOOT_HOME": str(tmp_path), name: value}
    done = warm.run(words, env=env, timeout_s=60)
    lines = [line for line in done.stderr.splitlines() if line]
    assert done.returncode == (4 if words[0] == "gunicorn" else 1), (
        done.stderr
    )  # 4: gunicorn does not try it again
    assert [line.partition(name)[0] for line in lines if "surefoot" in line] == ["surefoot: "]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "log").exists(), "something was started"


@pytest.mark.parametrize(
    "words",
    [["celery", "-A", "surefoot.workers.celery_app", "worker"], ["surefoot.workers.relay"]],
    ids=["worker", "relay"],
)
def test_given_store_that_is_older_than_the_code_when_a_process_starts_then_one_sentence_tells_how_to_upgrade(
    words: list[str], tmp_path: Path
) -> None:
    store = tmp_path / "old.sqlite"
    with closing(sqlite3.connect(store)) as old, old:
        old.execute("CREATE TABLE alembic_version (version_num TEXT)")
        old.execute("INSERT INTO alembic_version VALUES ('0002')")
    env = {
        **os.environ,
        "SUREFOOT_HOME": str(tmp_path),
        "DATABASE_URL": f"sqlite:///{store}",
        "BROKER_URL": "redis://127.0.0.1:1/0",
    }
    done = warm.run(words, env=env, timeout_s=60)
    assert done.returncode == 1, done.stderr
    (told,) = [line for line in done.stderr.splitlines() if "surefoot: " in line]
    assert told.startswith(
        "surefoot: DATABASE_URL: the store is at revision 0002, this code needs "
    )
    assert told.endswith("run `surefoot db upgrade`")
    assert "Traceback" not in done.stderr


def test_given_the_settings_there_are_when_the_table_of_them_is_read_then_each_is_in_it() -> None:
    told = (Path(__file__).parents[3] / "docs" / "operate" / "settings.md").read_text()
    names = [
        *Settings.model_fields,
        *OrderSettings.model_fields,
        *(f"events_{name}" for name in EventSettings.model_fields),
        "lanes",
        "url",
    ]
    assert [variable(name) for name in names if f"`{variable(name)}`" not in told] == []
