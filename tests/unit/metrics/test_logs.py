"""Log lines of our own and of libraries: one shape, no secrets, and what they are about."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from surefoot.app.logs import hidden, without_secrets
from surefoot.app.secrecy import keep_hidden

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
TALK = """
import logging, structlog
from surefoot.app import logs
logs.configure()
structlog.contextvars.bind_contextvars(job="j1", operation="order.pay", attempt=2, fence=3)
structlog.get_logger("a").info("paid", url="redis://:geheim@host:1/0")
logging.getLogger("a.library").warning("key sf_%s was seen", "0123456789abcdefghij")
logging.getLogger("httpx").info("GET /private")
logging.getLogger("celery.app.trace").info("Task order.pay[1] succeeded in 0.1s: 'completed'")
password = "hunter2hunter2"
try:
    raise ValueError("broken\\nforged line")
except ValueError:
    structlog.get_logger("a").error("failed", exc_info=True)
"""


def said(format_: str, **more: str) -> list[str]:
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "SUREFOOT_LOG_FORMAT": format_, **more}
    done = subprocess.run(
        [sys.executable, "-c", TALK],
        env=env,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == ""
    return done.stderr.splitlines()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux'")
def test_given_a_full_disk_when_lines_are_written_then_they_are_lost_and_the_process_goes_on() -> (
    None
):
    env = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(ROOT),
        "SUREFOOT_LOG_FORMAT": "json",
        "PYTHONUNBUFFERED": "1",
    }
    with Path("/dev/full").open("w") as full:
        words = [sys.executable, "-c", TALK + "print('went on')"]
        done = subprocess.run(
            words, env=env, stdout=subprocess.PIPE, stderr=full, text=True, check=False, timeout=60
        )
    assert (done.returncode, done.stdout) == (0, "went on\n")


@pytest.mark.parametrize("format_", ["json", "auto"])
def test_given_json_when_written_then_one_object_a_line_that_knows_its_attempt(
    format_: str,
) -> None:
    lines = [json.loads(line) for line in said(format_)]
    assert [line["event"] for line in lines] == ["paid", "key sf_*** was seen", "failed"]
    for line in lines:
        assert (line["job"], line["operation"], line["attempt"], line["fence"]) == (
            "j1",
            "order.pay",
            2,
            3,
        )
    assert lines[0]["url"] == "redis://***@host:1/0"
    assert "ValueError: broken" in lines[2]["exception"]
    assert "hunter2hunter2" not in json.dumps(lines)


def test_given_the_level_debug_then_celery_tells_of_success_too() -> None:
    assert any(
        "succeeded" in json.loads(line)["event"]
        for line in said("json", SUREFOOT_LOG_LEVEL="debug")
    )


def test_given_lines_for_people_then_each_has_its_date_and_zone() -> None:
    stamps = [
        line.split("Z ")[0] + "Z" for line in said("text") if "[" in line and line[:2].isdigit()
    ]
    assert len(stamps) == 3
    assert all(datetime.fromisoformat(stamp).tzinfo is not None for stamp in stamps)


def test_given_text_when_written_then_readable_and_without_values_of_variables() -> None:
    told = "\n".join(said("text"))
    assert "paid" in told
    assert "job=j1" in told
    assert "hunter2hunter2" not in told
    assert "geheim" not in told
    assert "\x1b" not in told


def test_given_secrets_of_an_attempt_when_lines_are_written_then_in_none_of_their_values() -> None:
    class Odd:
        def __repr__(self) -> str:
            return "<Odd tok_1>"

    endless: list[object] = []
    endless.append(endless)
    keep_hidden(("tok_1", "4711"))
    try:
        line = without_secrets(
            None,
            "info",
            {"event": "TOK_1", "deep": [{"tok_1": 4711}, Odd(), True], "endless": endless, "n": 12},
        )
    finally:
        keep_hidden(())
    assert line == {
        "event": "***",
        "deep": [{"***": "***"}, "<Odd ***>", True],
        "endless": line["endless"],
        "n": 12,
    }
    json.dumps(line)


def test_given_level_when_below_then_silent() -> None:
    assert [json.loads(line)["event"] for line in said("json", SUREFOOT_LOG_LEVEL="error")] == [
        "failed"
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql+psycopg://u:p@h/d", "postgresql+psycopg://***@h/d"),
        ("Bearer abc.def", "Bearer ***"),
        ("http://host:80/a", "http://host:80/a"),
    ],
)
def test_given_text_with_what_opens_doors_when_hidden_then_gone(text: str, shown: str) -> None:
    assert hidden(text) == shown


def test_given_a_command_that_becomes_a_server_then_it_is_quiet_first_and_says_everything_from_then_on() -> (
    None
):
    talk = """
import structlog
from surefoot.app import logs
log = structlog.get_logger("a")
logs.configure(quiet=True)
log.info("one"); log.warning("two")
logs.configure()
log.info("three")
"""
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "SUREFOOT_LOG_FORMAT": "json"}
    done = subprocess.run(
        [sys.executable, "-c", talk],
        env=env,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert [json.loads(line)["event"] for line in done.stderr.splitlines()] == ["two", "three"]


def test_given_what_somebody_sent_when_written_for_people_then_it_begins_no_line_and_commands_no_terminal() -> (
    None
):
    sent = "/x\x1b[2J\x00\x9b\u2028\r\n00:00:00 [info] forged ☃"
    talk = f"import structlog; from surefoot.app import logs; logs.configure(); structlog.get_logger('a').info({sent!r}, path={sent!r})"
    env = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(ROOT),
        "SUREFOOT_LOG_FORMAT": "text",
        "PYTHONIOENCODING": "utf-8",
    }
    done = subprocess.run(
        [sys.executable, "-c", talk], env=env, capture_output=True, check=True, timeout=60
    )
    line = done.stderr.decode().removesuffix("\n")
    assert line.isprintable()
    assert line.count("forged ☃") == 2
