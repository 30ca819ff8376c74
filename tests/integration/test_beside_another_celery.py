"""One Redis, two Celerys with queues of one name: neither takes the other's messages, and doctor sees who would."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery

from surefoot.app.config import Settings, settings
from surefoot.app.delivery.producer import producer_app
from surefoot.app.delivery.publisher import Publisher
from surefoot.app.delivery.queues import on_broker
from surefoot.app.doctor.neighbours import neighbours_on_broker
from surefoot.app.engine.jobs.dispatch import publish_plan
from surefoot.app.engine.jobs.submit import Submission, submit
from surefoot.app.engine.relay.duties.broker_lost import republish_if_broker_lost
from surefoot.app.saga.registry import Registry
from tests.support.one_worker import OneWorker
from tests.support.quarantined import quarantined
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until
from tests.unit.workers.fork_saga import fork

MAILS = 20
# A team's application as its documentation shows it: its queues are called as our lanes are.
THEIRS = """
import os
from pathlib import Path
from celery import Celery

app = Celery("team", broker=os.environ["TEAM_BROKER"], backend=os.environ["TEAM_BROKER"])
app.conf.broker_connection_retry_on_startup = True


@app.task
def send(number):
    with open(os.environ["TEAM_FILE"], "a") as file:
        file.write(f"{number}\\n")
"""


class Team:
    """Their worker, on queues of these names."""

    def __init__(self, home: Path, broker: str) -> None:
        self.file, self.log, self.broker, self._home = home / "sent", home / "log", broker, home
        home.mkdir()
        (home / "team.py").write_text(THEIRS)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *queues: str) -> None:
        env = os.environ | {"TEAM_BROKER": self.broker, "TEAM_FILE": str(self.file)}
        words = [sys.executable, "-m", "celery", "-A", "team", "worker", "-P", "solo"]
        words += ["-Q", ",".join(queues), "--loglevel", "INFO", "--without-mingle"]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                words, cwd=self._home, env=env, stdout=log, stderr=subprocess.STDOUT
            )

    def send(self, number: int, queue: str) -> None:
        with Celery("asks", broker=self.broker, set_as_current=False) as app:
            app.send_task("team.send", (number,), queue=queue)

    def sent(self) -> list[str]:
        return sorted(self.file.read_text().split()) if self.file.exists() else []

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@pytest.fixture(scope="module")
def ours(
    module_redis: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OneWorker]:
    home = tmp_path_factory.mktemp("ours") / "home"
    made = OneWorker(home, module_redis, fork, "tests.unit.workers.fork_saga")
    made.worker.start()
    yield made
    made.close()


@pytest.fixture
def team(module_redis: RedisServer, tmp_path: Path) -> Iterator[Team]:
    made = Team(tmp_path / "team", module_redis.url)
    yield made
    made.stop()


@pytest.mark.long
def test_given_another_celery_with_queues_of_one_name_when_both_work_then_each_does_its_own(
    ours: OneWorker, team: Team, module_redis: RedisServer
) -> None:
    team.start("east", "west")
    for number in range(MAILS):
        team.send(number, ("east", "west")[number % 2])
    jobs = [ours.submit() for _ in range(5)]
    assert [ours.land(job) for job in jobs] == ["completed"] * 5
    wait_until(lambda: len(team.sent()) == MAILS, 60, what="their mails")
    assert team.sent() == sorted(map(str, range(MAILS)))
    assert quarantined(ours.db) == []
    assert "unregistered" not in team.log.read_text()
    asked = Settings(broker_url=module_redis.url)
    assert [found.level for found in neighbours_on_broker(asked, ours.db)] == ["OK"]


@pytest.mark.long
def test_given_messages_under_another_prefix_when_it_is_changed_then_every_job_is_done(
    ours: OneWorker, module_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a release without a prefix is followed by this one: the old queues are nobody's."""
    with monkeypatch.context() as before:
        before.setenv("SUREFOOT_QUEUE_PREFIX", "before.")
        settings.cache_clear()
        earlier = Publisher(producer_app(module_redis.url), 0.0)
        asked = Submission(ours.tenant, fork.name, {"note": ""}, "test")
        submitted = submit(ours.db, ours.settings, Registry([fork]), asked)
        assert publish_plan(ours.db, earlier, submitted.plan)
    settings.cache_clear()
    with module_redis.client() as client:
        assert client.llen("before.east") == 1
        client.delete(on_broker("marker"))  # the first start with the new prefix
        assert republish_if_broker_lost(ours.db, ours.probe) == 1
        assert ours.land(submitted.job_id, sweep=True) == "completed"
        assert client.llen("before.east") == 1
