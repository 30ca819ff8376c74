from __future__ import annotations

from pathlib import Path

import pytest

from surefoot.app.config import settings
from surefoot.workers import liveness


def test_given_a_heartbeat_file_when_the_loop_has_gone_round_then_it_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUREFOOT_HEARTBEAT_FILE", str(tmp_path / "heartbeat"))
    liveness.touch()
    assert (tmp_path / "heartbeat").exists()


def test_given_a_place_that_cannot_be_written_when_touched_then_work_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUREFOOT_HEARTBEAT_FILE", str(tmp_path / "gone" / "heartbeat"))
    liveness.touch()


def test_given_no_file_when_touched_then_nothing_happens() -> None:
    assert settings().heartbeat_file is None
    liveness.touch()
