"""A drill on real processes, as its command runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("only", ["charge_card:", "charge_card.undo:kill-all@after_effect"])
def test_given_order_when_drilled_on_real_processes_then_its_rows_pass_and_nothing_is_left_behind(
    only: str, tmp_path: Path, redis_executable: str
) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "SUREFOOT_HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path)}
    words = [sys.executable, "-m", "app.cli", "drill", "order", "--real", "--json", "--seconds", "90", "--only", only]
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False, timeout=280)

    told = json.loads(done.stdout)
    assert [(row["row"], row["why"]) for row in told["rows"] if not row["pass"]] == []
    assert (done.returncode, told["failed"]) == (0, 0)
    assert told["passed"] > 0
    assert [path.name for path in tmp_path.iterdir()] == []  # its home is gone; the user's was never made
