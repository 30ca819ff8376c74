"""What others' variables would do to the libraries below us: cleared, set or refused, and one order completes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from surefoot.app import environment
from surefoot.app.errors import SettingsError
from surefoot.app.store.session import open_engine
from tests.support.hostile import HOSTILE

pytestmark = pytest.mark.slow


def test_given_what_libraries_obey_when_a_process_is_started_then_it_is_gone_and_the_rest_is_there() -> (
    None
):
    kept = environment.for_children({**HOSTILE, "PATH": "/bin", "SUREFOOT_MAIL": "m"})
    assert kept.keys() == {
        "MAIL",
        "HOST",
        "LOG_LEVEL",
        "RESULT_BACKEND",
        "PGHOST",
        "PGDATESTYLE",
        "http_proxy",
        "PATH",
        "SUREFOOT_MAIL",
    }


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql://me@here:1/there", "PGDATESTYLE"),
        ("postgresql://me@here:1/there", "PGHOSTADDR"),
        ("postgresql:///there", "PGHOST"),
        ("postgresql://here/there", "PGUSER"),
    ],
)
def test_given_a_variable_of_libpq_that_leads_elsewhere_when_a_store_is_opened_then_refused_by_name(
    url: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "elsewhere")
    with pytest.raises(SettingsError, match=f"^{name}: "):
        open_engine(url)


def test_given_a_url_that_says_all_when_libpq_is_told_other_things_then_the_store_is_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGPASSWORD"):
        monkeypatch.setenv(name, "5")
    open_engine("postgresql://me@here:1/there").dispose()
    open_engine("postgresql://me@/there?host=/run/here&port=1").dispose()


@pytest.mark.parametrize("module", ["surefoot.workers.celery_app", "surefoot.celeryconfig"])
def test_given_a_broker_of_celery_s_own_name_when_a_worker_is_made_then_ours_is_used(
    module: str, tmp_path: Path
) -> None:
    ask = "from surefoot.workers.celery_app import celery_app as app; print(app.conf.broker_url, app.conf.result_backend)"
    own = {
        "SUREFOOT_HOME": str(tmp_path),
        "SUREFOOT_BROKER_URL": "redis://127.0.0.1:2/0",
        "BROKER_URL": "redis://127.0.0.1:3/0",
    }
    env = {
        **os.environ,
        "CELERY_BROKER_URL": HOSTILE["CELERY_BROKER_URL"],
        "CELERY_RESULT_BACKEND": "rpc://",
        **own,
    }
    words = (
        [sys.executable, "-c", ask]
        if module == "surefoot.workers.celery_app"
        else [sys.executable, "-c", f"import {module}; {ask}"]
    )
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == [
        "redis://127.0.0.1:2/0",
        "surefoot.app.delivery.backend.StoreBackend",
    ]
