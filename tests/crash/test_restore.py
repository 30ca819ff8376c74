"""A store is put back from a copy half a minute old, by the commands of docs/operate/backup.md, while services and bank are ahead of it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from surefoot.app.engine.worker.execute import UNKNOWN_JOB
from tests.support.linked import QUICK
from tests.support.orders import Shop
from tests.support.postgres_server import PostgresServer
from tests.support.running import Up
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(500)]


def run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, timeout=60)


class SqliteBackup:
    """One file, copied while everything runs."""

    def __init__(self, home: Path) -> None:
        self._file, self._copy = home / "surefoot.sqlite", home.parent / "backup.sqlite"
        self.env: dict[str, str] = {}

    def take(self) -> None:
        run("sqlite3", str(self._file), ".timeout 10000", f".backup {self._copy}")

    def restore(self) -> None:
        for tail in ("-wal", "-shm"):
            Path(f"{self._file}{tail}").unlink(missing_ok=True)
        shutil.copy(self._copy, self._file)


class PostgresBackup:
    """The store's database; the services have their files."""

    def __init__(self, home: Path, server: PostgresServer) -> None:
        self._server, self._dump = server, home.parent / "backup.dump"
        self._url = server.url(server.create_database())
        self.env = {"DATABASE_URL": self._url} | {
            f"SUREFOOT_{name}_DATABASE_URL": f"sqlite:///{home}/{name.lower()}.sqlite"
            for name in ("ORDER", "PAYMENT", "INVENTORY", "BANK")
        }

    def take(self) -> None:
        run("pg_dump", "--format=custom", f"--file={self._dump}", _plain(self._url))

    def restore(self) -> None:
        run(
            "pg_restore",
            "--clean",
            "--if-exists",
            "--exit-on-error",
            "--no-owner",
            f"--dbname={_plain(self._url)}",
            str(self._dump),
        )


def _plain(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://")


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_given_a_copy_half_a_minute_old_when_put_back_then_all_is_told_acts_land_it_and_the_books_add_up(
    database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    home = tmp_path / "home"
    backup = (
        SqliteBackup(home)
        if database == "sqlite"
        else PostgresBackup(home, request.getfixturevalue("own_postgres"))
    )
    # the two slow charges are still being asked for when everything is killed
    up = Up(
        home,
        **{
            **QUICK,
            **backup.env,
            "SUREFOOT_BANK_SLOW_SECONDS": "60",
            "SUREFOOT_BANK_TIMEOUT_SECONDS": "90",
        },
    )
    try:
        shop = Shop(up.start())
        shop.orders(3)
        wait_until(
            lambda: shop.states().get("completed", 0) >= 1,
            60,
            what="an order that the copy has as completed",
        )
        backup.take()
        shop.land(120)
        lost, slow = shop.orders(4), shop.orders(2, ("tok_slow",))
        wait_until(
            lambda: all(shop.job(job)["state"] == "completed" for job in lost),
            120,
            what="orders of the lost time to be shipped",
        )
        wait_until(
            lambda: all(shop.step(job, "reserve_stock") == "completed" for job in slow),
            60,
            what="goods held for the others",
        )
        up.kill()
        shop.close()
        backup.restore()

        up.command("db", "upgrade")
        shop = Shop(up.start())
        assert shop.land(120) == {"completed": 3}, (
            "what the copy has lands, and nothing else is there"
        )
        told = up.json("reconcile", "--after-restore")["findings"]
        acts = {
            job: {one["advice"]["act"] for one in told if one["key"].startswith(job)}
            for job in (*lost, *slow)
        }
        assert acts == {job: {"adopt"} if job in lost else {"undo"} for job in (*lost, *slow)}
        assert {one["key"].split(":")[0] for one in told} == {*lost, *slow}
        assert up.command("reconcile", "undo", "--advised", "--why", "lost").stdout.startswith(
            "4 of 4"
        )
        assert up.command(
            "reconcile", "adopt", "--advised", "--why", "delivered"
        ).stdout.startswith("24 of 24")
        assert up.json("reconcile", "--after-restore")["findings"] == []
        assert shop.audit()["consistent"]
        reasons = {row["reason"] for row in up.json("quarantine", "list")}
        assert reasons <= {UNKNOWN_JOB}, "messages of lost jobs are not called forged"
        shop.close()
    finally:
        up.close()
