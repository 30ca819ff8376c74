"""Celery's settings are ours, or a process does not start and says which one is not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from surefoot.app.config import settings
from surefoot.app.delivery.celery_settings import OwnCelery, check, foreign, source_of
from surefoot.app.delivery.producer import producer_app
from surefoot.app.doctor.celery_settings import celery
from surefoot.app.errors import SettingsError

NOWHERE = "redis://127.0.0.1:1/0"
FOREIGN = {
    "worker_consumer": "celery.worker.consumer:Consumer",
    "worker_pool": "threads",
    "task_reject_on_worker_lost": None,
    "task_acks_late": False,
    "result_backend": "redis://127.0.0.1:1/1",
    "broker_transport_options": {"queue_order_strategy": "priority"},
    "worker_prefetch_multiplier": 4,
    "task_serializer": "pickle",
    "accept_content": ["pickle"],
    # that we leave as Celery has them
    "task_routes": {"*": {"queue": "mail"}},
    "task_always_eager": True,
    "task_time_limit": 30,
}


@pytest.fixture
def app() -> OwnCelery:
    return producer_app(NOWHERE)


@pytest.mark.parametrize("name", FOREIGN)
def test_given_a_setting_that_is_not_ours_when_checked_then_refused_with_name_and_both_values(
    app: OwnCelery, name: str
) -> None:
    check(app)
    app.conf[name] = FOREIGN[name]
    with pytest.raises(SettingsError) as refused:
        check(app)
    said = refused.value.message
    assert f"Celery's setting {name} is {FOREIGN[name]!r}" in said
    assert f"Surefoot needs {app.expected[name]!r}"[:100] in said


def test_given_a_celeryconfig_beside_us_when_checked_then_the_sentence_says_that_it_has_the_setting(
    app: OwnCelery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "celeryconfig.py").write_text("task_acks_late = False\n")
    (tmp_path / "theirs.py").write_text("task_acks_late: bool = False\n")
    app.conf.task_acks_late = False
    assert [found.source for found in foreign(app)] == [
        "as celeryconfig.py in the working directory has it"
    ]
    assert source_of("task_acks_late", {"CELERY_CONFIG_MODULE": "theirs"}) == (
        "as theirs has it, which CELERY_CONFIG_MODULE names"
    )
    assert source_of("task_routes") == ""


def test_given_options_of_celery_s_command_line_when_a_worker_starts_then_the_foreign_one_is_told(
    app: OwnCelery,
) -> None:
    worker = SimpleNamespace(
        consumer_cls=app.expected["worker_consumer"],
        pool_cls="celery.concurrency.solo:TaskPool",
        prefetch_multiplier=1,
    )
    with pytest.raises(SettingsError, match=r"worker_pool .* \(an option of Celery's command line"):
        check(app, worker)
    worker.pool_cls = app.expected["worker_pool"]
    check(app, worker)


def test_given_celery_s_own_variables_when_a_producer_is_made_then_it_goes_to_our_broker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("CELERY_BROKER_URL", "CELERY_BROKER_WRITE_URL", "CELERY_RESULT_BACKEND"):
        monkeypatch.setenv(name, "redis://elsewhere:2/2")
    app = producer_app(NOWHERE)
    made = (app.connection_for_write(), app.connection_for_read())
    assert [(one.hostname, one.port) for one in made] == [("127.0.0.1", 1)] * 2
    assert app.backend.as_uri() == "store://"


def test_given_a_saga_that_changes_celery_when_a_worker_starts_then_it_ends_with_one_sentence(
    tmp_path: Path,
) -> None:
    (tmp_path / "team_signals.py").write_text(
        "from celery.signals import celeryd_init\n"
        "from tests.unit.workers.fork_saga import fork\n"
        "@celeryd_init.connect(weak=False)\n"
        "def configure(conf=None, **_):\n"
        "    conf.task_acks_late = False\n"
    )
    env = os.environ | {
        "SUREFOOT_HOME": str(tmp_path),
        "SUREFOOT_BROKER_URL": NOWHERE,
        "SUREFOOT_SAGAS": "team_signals",
        "PYTHONPATH": os.pathsep.join([str(Path.cwd()), str(tmp_path)]),
    }
    words = [sys.executable, "-m", "celery", "-A", "surefoot.workers.celery_app", "worker"]
    done = subprocess.run(words, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert re.search(r"^surefoot: .* task_acks_late is False, .* needs True", done.stderr, re.M)


def test_given_settings_of_another_project_when_doctor_looks_then_it_says_whose_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert [found.said for found in celery(settings())] == ["its settings are Surefoot's own"]
    (tmp_path / "celeryconfig.py").write_text("task_acks_late = False\n")
    monkeypatch.setenv("CELERY_CONFIG_MODULE", "theirs")
    (found,) = celery(settings())
    assert found.said.endswith(
        "; celeryconfig.py, CELERY_CONFIG_MODULE=theirs of this project is not read"
    )
