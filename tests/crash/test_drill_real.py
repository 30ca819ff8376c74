"""A drill on real processes, as its command runs it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import create_engine, text

from surefoot.app.delivery.broker import redis_url as without_transport
from tests.support import warm

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("redis_executable"),
]


def drilled(tmp_path: Path, saga: str, only: str, **env: str) -> tuple[int, dict[str, Any]]:
    """Its exit code, and what it told."""
    told = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "SUREFOOT_HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path),
        **env,
    }
    words = ["surefoot.app.cli", "drill", saga, "--real", "--json", "--seconds", "90"]
    done = warm.run([*words, "--only", only], env=told, timeout_s=280, spares=60)
    assert [
        path.name for path in tmp_path.iterdir()
    ] == []  # its home is gone; the user's was never made
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize("only", ["charge_card:", "charge_card.undo:kill-all@after_effect"])
def test_given_order_when_drilled_on_real_processes_then_its_rows_pass_and_nothing_is_left_behind(
    only: str, tmp_path: Path
) -> None:
    code, told = drilled(tmp_path, "order", only)

    assert [(row["row"], row["why"]) for row in told["rows"] if not row["pass"]] == []
    assert (code, told["failed"]) == (0, 0)
    assert told["passed"] > 0


def test_given_servers_of_others_when_drilled_there_then_rows_pass_and_the_servers_are_as_before(
    tmp_path: Path, fresh_postgres: str, redis_url: str
) -> None:
    """Queues have a prefix of theirs, too."""
    with redis.Redis.from_url(without_transport(redis_url)) as client:
        client.flushall()
        client.set("of others", "1")
        code, told = drilled(
            tmp_path,
            "order",
            "charge_card:flush",
            DATABASE_URL=fresh_postgres,
            BROKER_URL=redis_url,
            SUREFOOT_QUEUE_PREFIX="team.sagas.",
        )

        assert (code, told["passed"], told["failed"]) == (0, 1, 0)
        assert client.keys() == [b"of others"]
        assert set(client.info("keyspace")) == {"db0"}  # type: ignore[arg-type]
        client.flushall()
    db = create_engine(fresh_postgres)
    with db.connect() as connection:
        assert (
            connection.execute(
                text("SELECT 1 FROM pg_database WHERE datname LIKE 'surefoot_drill_%'")
            ).all()
            == []
        )
        assert (
            connection.execute(text("SELECT 1 FROM pg_tables WHERE schemaname = 'public'")).all()
            == []
        )
    db.dispose()


def test_given_undo_that_is_not_idempotent_when_drilled_then_the_schedule_tells_what_was_done_to_it_and_what_came_of_it(
    tmp_path: Path,
) -> None:
    code, told = drilled(
        tmp_path,
        "gift",
        "take_voucher.undo:crash@after_",
        SUREFOOT_SAGAS="tests.support.careless_gifts",
    )

    assert code == 1
    assert {row["row"]: row["why"] for row in told["rows"] if not row["pass"]} == {
        "take_voucher.undo:crash@after_effect": "nobody_is_given_money: 500 cents were given back that nobody had paid"
    }
    worst = told["shortest_failing"]
    assert (
        worst["replay"]
        == "surefoot drill gift --real --only 'take_voucher.undo:crash@after_effect' --seed 0"
    )
    said = [line.split("s  ", 1)[1] for line in worst["schedule"]]
    assert [line for line in said if not line.startswith(("compensation started ", "failed "))] == [
        "submitted            job",
        "completed            take_voucher, attempt 1",
        "* reject write_letter @ before_effect",
        "* crash take_voucher.undo @ after_effect",
        "attempt lost         take_voucher.undo, attempt 1, its process was lost",
        "completed            take_voucher.undo, attempt 2",
        "job failed           job",
    ]
