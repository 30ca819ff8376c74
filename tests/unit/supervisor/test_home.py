"""The home: one supervisor at a time, secrets for its owner only, what other commands find there."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from surefoot.app.errors import SettingsError
from surefoot.app.supervisor import ports, redis_server, runfile
from surefoot.app.supervisor.home import keep, locked

ROOT = Path(__file__).parents[3]


def test_given_a_running_supervisor_when_a_second_one_starts_then_one_line_names_the_first(
    tmp_path: Path,
) -> None:
    script = "from pathlib import Path; import sys\nfrom surefoot.app.supervisor.home import locked\nwith locked(Path(sys.argv[1])): pass"
    command = [sys.executable, "-c", script, str(tmp_path)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with locked(tmp_path):
        refused = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert f"already runs on {tmp_path} (pid {os.getpid()})" in refused.stderr
    assert subprocess.run(command, env=env, capture_output=True, check=False).returncode == 0


def test_given_no_secret_when_kept_then_made_once_and_only_the_owner_reads_it(
    tmp_path: Path,
) -> None:
    made = keep(tmp_path / "api_key", prefix="sf_")
    assert made.startswith("sf_")
    assert len(made) > 40
    assert keep(tmp_path / "api_key") == made
    assert stat.S_IMODE((tmp_path / "api_key").stat().st_mode) == 0o600


def test_given_a_secret_from_outside_when_kept_then_it_is_taken_as_it_is(tmp_path: Path) -> None:
    keep(tmp_path / "api_key")
    assert keep(tmp_path / "api_key", "x" * 32) == "x" * 32
    assert keep(tmp_path / "api_key") == "x" * 32


def test_given_a_run_file_when_applied_then_the_environment_wins(tmp_path: Path) -> None:
    run = runfile.RunFile(
        pid=1,
        web_url="http://a",
        flower_url="http://b",
        env={"SUREFOOT_BROKER_URL": "redis://x", "SUREFOOT_BANK_URL": "http://y"},
    )
    runfile.save(tmp_path, run)
    environ = {"SUREFOOT_BANK_URL": "http://mine"}
    assert runfile.apply(tmp_path, environ) == run
    assert environ == {"SUREFOOT_BANK_URL": "http://mine", "SUREFOOT_BROKER_URL": "redis://x"}
    assert stat.S_IMODE((tmp_path / runfile.NAME).stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"other": 2}'])
def test_given_a_run_file_that_cannot_be_read_when_applied_then_it_is_as_if_there_were_none(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / runfile.NAME).write_text(text)
    assert runfile.apply(tmp_path, {}) is None


def test_given_a_taken_port_when_it_was_set_then_an_error_names_the_setting() -> None:
    import socket

    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        with pytest.raises(SettingsError, match=f"SUREFOOT_PORT={port} is in use"):
            ports.choose("SUREFOOT_PORT", "127.0.0.1", port, 8000)
        assert ports.choose("SUREFOOT_PORT", "127.0.0.1", None, port) > port


def test_given_a_port_that_another_part_has_when_it_was_set_then_an_error_says_so() -> None:
    with pytest.raises(SettingsError, match="SUREFOOT_FLOWER_PORT=8000 is that of another part"):
        ports.choose("SUREFOOT_FLOWER_PORT", "127.0.0.1", 8000, 5555, taken=frozenset({8000}))


def test_given_no_redis_anywhere_when_looked_for_then_a_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "apt-get").write_text("#!/bin/sh\n")
    (tmp_path / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(redis_server, "bundled", lambda: None)
    with pytest.raises(SettingsError) as refused:
        redis_server.find()
    assert (
        refused.value.message
        == "no Redis found: run `sudo apt-get install -y redis-server`, or set BROKER_URL"
    )
