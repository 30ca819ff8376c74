"""The samples of docs/adopting.md: all of them compile, and the one for Flask runs."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from surefoot.app.embedded import client as clients
from surefoot.app.errors import DefinitionError
from surefoot.app.store.catalogue import register
from tests.support.documents import DOCS, ROOT
from tests.support.stores import open_new_store

PAGE = (DOCS / "adopting.md").read_text(encoding="utf-8")
SAMPLES = dict(re.findall(r"^## (\w+)\n(?:(?!^##).)*?^```py\n(.*?)^```$", PAGE, re.M | re.S))


def test_given_the_page_then_each_framework_has_a_sample_and_it_compiles() -> None:
    assert list(SAMPLES) == ["Flask", "Django", "FastAPI"]
    for name, sample in SAMPLES.items():
        compile(sample, name, "exec")


def test_given_the_sample_for_flask_when_asked_then_a_job_of_its_own_transaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'team.sqlite'}"
    monkeypatch.setenv("SUREFOOT_DATABASE_URL", url)
    monkeypatch.setenv("TEAM_DATABASE_URL", url)
    monkeypatch.syspath_prepend(ROOT / "tests" / "support" / "typed_sample")
    db = open_new_store(url)
    clients.close()
    names: dict[str, object] = {"__name__": "team"}
    exec(compile(SAMPLES["Flask"], "Flask", "exec"), names)
    register(db, [names["invoice"]])  # type: ignore[list-item]
    team = create_engine(url)
    with team.begin() as tx:
        tx.execute(text("CREATE TABLE invoices (number text UNIQUE)"))
    web = names["app"].test_client()  # type: ignore[attr-defined]

    asked = {"number": "7", "amount_cents": 900}
    job = web.post("/invoices", json=asked).get_json()["job"]
    assert web.get(f"/invoices/{job}").get_json() == {"state": "pending", "outcome": "open"}
    assert web.get(f"/invoices/{'0' * 32}").status_code == 422
    with pytest.raises(Exception, match="UNIQUE"):  # their own rule: no second job either
        web.application.testing = True
        web.post("/invoices", json=asked)
    with team.connect() as tx:
        assert tx.execute(text("SELECT count(*) FROM surefoot_jobs")).scalar_one() == 1
    clients.close()
    for name in [name for name in sys.modules if name.partition(".")[0] == "invoices"]:
        del sys.modules[name]
    names["engine"].dispose()  # type: ignore[attr-defined]
    team.dispose()
    db.dispose()


def test_given_a_celery_task_as_a_step_then_refused_with_what_to_give() -> None:
    from celery import Celery

    from surefoot import Context, Saga
    from tests.unit.workers.fork_saga import Nothing

    def send(ctx: Context, o: Nothing) -> None: ...

    with Celery("team", set_as_current=False) as app:
        task = app.task(name="team.send")(send)
        saga = Saga("mails", version=1, input=Nothing, examples=[Nothing()])
        with pytest.raises(
            DefinitionError, match=r"is a Celery task: take the decorator @app.task"
        ):
            saga.step(lane="mail", undo=None, note="stays")(task)
