"""How log lines look, for each of our processes: the only place that configures structlog and the
standard library's logging.

`SUREFOOT_LOG_FORMAT`: `json`, one object a line, in which no input can forge a line of its own;
`text`, for people; `auto`, text on a terminal and JSON elsewhere (`surefoot up` says text to its
parts). Lines go to stderr: stdout is for answers.

A worker binds job, operation, attempt and fence to its thread (structlog's context variables), so
that every line written meanwhile has them, those of libraries and of a step's own logging too. URLs
lose their passwords, our keys their secret part, and every line the secrets of the input that this
process works with (`surefoot.app.secrecy`), prints of a step (`hide_prints`) too.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable, MutableMapping
from contextlib import suppress
from typing import Any

import structlog
from pydantic import ValidationError

from surefoot.app.config import Settings
from surefoot.app.secrecy import Secrets, hidden_now, scrub, scrub_json

CHATTY = (
    "httpx",
    "httpcore",
    "alembic",
    "kombu",
    "amqp",
)  # they tell of every request; their warnings are kept
_SECRETS = (
    (re.compile(r"(?<=://)[^/\s:@]*:[^/\s@]+@"), "***@"),
    (re.compile(r"\bsf_[A-Za-z0-9_-]{16,}"), "sf_***"),
    (re.compile(r"(?i)(?<=bearer )\S+"), "***"),
)
# "Task … succeeded": our own line of an operation says it; at the level debug both are written
DOUBLED = "celery.app.trace"
Event = MutableMapping[str, Any]
_quietly = False  # this process began as a command


def configure(*, quiet: bool = False) -> None:
    """Set this process up; one that has configured structlog itself is left alone.

    `quiet`: a command, which says warnings only.

    A command that goes on as a server calls it once more, and says everything from then on.
    Settings that cannot be read do not stop it: the next reader reports them, and better.
    """
    global _quietly
    if structlog.is_configured() and not _quietly:
        return
    _quietly = quiet
    chosen, level = _told()
    level = max(level, logging.WARNING) if quiet else level
    as_text = chosen == "text" or (chosen == "auto" and sys.stderr.isatty())
    before: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(
            fmt="%Y-%m-%d %H:%M:%S.%fZ" if as_text else "iso", utc=True
        ),
    ]
    # Never a traceback with the values of its variables: inputs and keys are among them.
    told = structlog.processors.format_exc_info
    shown = [on_one_line] if as_text else []  # JSON escapes by itself
    after: list[Any] = [told, without_secrets, *shown, _renderer(as_text)]
    structlog.configure(
        processors=[*before, *after],
        wrapper_class=_wrapper(level),
        logger_factory=lambda *_: _Stderr(),
    )
    _configure_standard(before, after, level)


def _told() -> tuple[str, int]:
    try:
        chosen = Settings()  # not `settings()`: a command has yet to learn what `surefoot up` chose
    except ValidationError:
        return "auto", logging.INFO
    return chosen.log_format, getattr(logging, chosen.log_level.upper())


def _wrapper(level: int) -> Any:
    """A logger of this level that never raises: a value whose repr fails costs its line, not the
    writer.
    """
    filtering: Any = structlog.make_filtering_bound_logger(level)

    class Total(filtering):  # type: ignore[misc]
        def _proxy_to_logger(
            self, method_name: str, event: str | None = None, *values: Any, **facts: Any
        ) -> Any:
            try:
                return super()._proxy_to_logger(method_name, event, *values, **facts)
            except Exception as error:
                self._logger.warning(f"a line of the log was lost: {type(error).__name__}")
                return None

    return Total


def _renderer(as_text: bool) -> Any:
    if not as_text:
        return structlog.processors.JSONRenderer(default=repr)
    return structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )


def _configure_standard(before: list[Any], after: list[Any], level: int) -> None:
    """Celery, gunicorn and a step's own `logging` write lines of the same shape."""
    handler = logging.StreamHandler(_Stderr())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*before, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *after],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    logging.getLogger(DOUBLED).setLevel(
        logging.INFO if level <= logging.DEBUG else max(level, logging.WARNING)
    )
    for name in CHATTY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


def without_secrets(_logger: Any, _method: str, event: Event) -> Event:
    """A structlog processor: no line keeps a password of a URL, one of our keys, or a secret of an
    input.
    """
    secrets = hidden_now()
    for name, value in list(event.items()):
        if not name.startswith("_"):  # those are the formatter's own
            event[name] = _clean(value, secrets)
    return event


def _clean(value: Any, secrets: Secrets) -> Any:
    """The value as JSON, without secrets.

    What is not JSON is shown as its repr, as the renderers would.
    """
    try:
        if isinstance(value, dict):
            return {
                scrub(str(name), secrets): _clean(inner, secrets) for name, inner in value.items()
            }
        if isinstance(value, list | tuple):
            return [_clean(inner, secrets) for inner in value]
        if value is None or isinstance(value, bool | int | float):
            return scrub_json(value, secrets)
        return hidden(scrub(value if isinstance(value, str) else repr(value), secrets))
    # a repr of somebody's, or a list that holds itself: the rest of the line is worth having
    except Exception as error:
        return f"(not shown: {type(error).__name__})"


def on_one_line(_logger: Any, _method: str, event: Event) -> Event:
    """A structlog processor for lines that people read: what somebody sent can neither begin a line
    nor command a terminal.
    """
    for name, value in event.items():
        if isinstance(value, str):  # a traceback has its lines
            lines = value.split("\n") if name == "exception" else [value]
            event[name] = "\n".join(_printable(line) for line in lines)
    return event


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def hide_prints() -> None:
    """What this process prints from now on is written without the secrets of the input that it
    works with.
    """
    sys.stdout, sys.stderr = _Prints(sys.stdout), _Prints(sys.stderr)


class _Prints:
    """A standard stream that leaves secrets out.

    `plain`: the stream itself, for a writer that has done so already.
    """

    def __init__(self, plain: Any) -> None:
        self.plain = getattr(plain, "plain", plain)

    def write(self, text: str) -> int:
        self.plain.write(scrub(text, hidden_now()))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plain, name)


def hidden(text: str) -> str:
    """The text without what opens doors."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


class _Stderr:
    """The stderr of the moment, for structlog (each level is a method) and as a stream.

    It has no lock of its own: one that a thread holds during a fork stays locked in the child. A
    line that cannot be written (the disk is full) is lost; a request or a round of the relay is not
    lost with it.
    """

    def msg(self, message: str) -> None:
        self.write(message + "\n")

    debug = info = warning = error = critical = exception = fatal = log = msg

    def write(self, text: str) -> int:
        stream = getattr(sys.stderr, "plain", sys.stderr)
        with suppress(OSError, ValueError, AttributeError):  # full, closed, or None
            stream.write(text)
            stream.flush()
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError, AttributeError):
            sys.stderr.flush()
