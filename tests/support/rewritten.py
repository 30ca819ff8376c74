"""The assertions of all test files are rewritten once, before several test processes begin.

pytest rewrites a file when a process first imports it, and keeps the outcome for later. In a fresh clone all processes
import the same files at the same time, and each rewrites all of them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from pathlib import Path

import pytest
from _pytest.assertion import rewrite

TESTS = Path(__file__).resolve().parents[1]


def rewrite_all(config: pytest.Config) -> None:
    """Rewrite what is not yet, on all cores. What goes wrong here, each process tells when it imports the file."""
    stale = [file for file in sorted(TESTS.rglob("test_*.py")) if _is_stale(file)]
    cores = min(os.cpu_count() or 1, len(stale))
    if rewrite.assertstate_key not in config.stash or cores < 2 or threading.active_count() > 1:
        return
    children = []
    for core in range(cores):
        child = os.fork()
        if child == 0:
            _rewrite(config, stale[core::cores])
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


def _rewrite(config: pytest.Config, files: Iterable[Path]) -> None:
    """Ends the process."""
    try:
        state = config.stash[rewrite.assertstate_key]
        for file in files:
            source, code = rewrite._rewrite_test(file, config)
            if rewrite.try_makedirs(rewrite.get_cache_dir(file)):
                rewrite._write_pyc(state, code, source, _kept(file))
    finally:
        os._exit(0)


def _is_stale(file: Path) -> bool:
    return rewrite._read_pyc(file, _kept(file)) is None


def _kept(file: Path) -> Path:
    return rewrite.get_cache_dir(file) / f"{file.stem}{rewrite.PYC_TAIL}"
