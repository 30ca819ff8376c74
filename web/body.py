"""Reading a JSON body that anybody may have sent.

Measured before it is read, scanned for depth before it is parsed (a parser that recurses dies of
`[[[[…`), and parsed without the freedoms that two readers of one text understand differently:
duplicate keys, NaN, numbers of any length, lone surrogates, NUL.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from flask import Flask, Request
from flask import request as this_request

from surefoot.web.api.problems import Problem

DEPTH_MOST = 64
DIGITS_MOST = 100  # of an integer: Python's own parsing of digits takes quadratic time
_TOKENS = re.compile(
    rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[{\]}]', re.DOTALL
)  # possessive: one pass, whatever the text


def install(app: Flask) -> None:
    app.before_request(check_length_is_said)


def check_length_is_said() -> None:
    """The server waits for a whole body before a thread begins, and for that its length is needed.

    Raises: Problem 411.
    """
    if this_request.headers.get("Transfer-Encoding"):
        said = "Say the length of the body in Content-Length; chunked bodies are not taken."
        raise Problem("length-required", said)


def read_json(request: Request, most_bytes: int) -> Any:
    """The body as a value. Raises: Problem 400, 413 or 415."""
    _check_type(request)
    return parse(read(request, most_bytes))


def read_optional_object(request: Request, most_bytes: int) -> dict[str, Any]:
    """The body as an object; an empty body is {}. Raises: Problem."""
    if not request.content_length:
        return {}
    value = read_json(request, most_bytes)
    if not isinstance(value, dict):
        raise Problem(
            "invalid-input",
            "The body must be a JSON object.",
            errors=[{"pointer": "", "detail": "must be an object"}],
        )
    return value


def read(request: Request, most_bytes: int) -> bytes:
    """The raw body. Raises: Problem 413 when it is too large; it is not read then, and the server
    closes the connection."""
    length = request.content_length or 0
    if length > most_bytes:
        raise Problem(
            "too-large",
            f"The body has {length} bytes; at most {most_bytes} are taken.",
            limit_bytes=most_bytes,
        )
    return request.get_data(cache=False)


def parse(raw: bytes) -> Any:
    """The value of a JSON text. Raises: Problem 400 with the reason."""
    if not raw.strip():
        raise Problem("malformed-json", "The body is empty; a JSON object is wanted.")
    _check_depth(raw)
    try:
        value = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_int=_integer,
            parse_float=_number,
        )
    except UnicodeDecodeError as error:
        raise Problem("malformed-json", f"The body is not UTF-8 (byte {error.start}).") from error
    except json.JSONDecodeError as error:
        raise Problem(
            "malformed-json",
            f"The body is not JSON: {error.msg}, line {error.lineno} column {error.colno}.",
        ) from error
    if (
        b"\\u" in raw
    ):  # the only way to write what is refused here: raw ones were refused by the decoders
        _check_text(value)
    return value


def _check_type(request: Request) -> None:
    kind = request.mimetype
    if kind != "application/json" and not (
        kind.startswith("application/") and kind.endswith("+json")
    ):
        said = f"not {kind}" if kind else "and the request names no Content-Type"
        raise Problem(
            "unsupported-media-type",
            f"The body must be application/json, {said}.",
            headers={"Accept-Post": "application/json"},
        )


def _check_depth(raw: bytes) -> None:
    if raw.count(b"[") + raw.count(b"{") <= DEPTH_MOST:
        return
    depth = 0
    for token in _TOKENS.finditer(raw):
        first = raw[token.start()]
        if first in b"[{":
            depth += 1
            if depth > DEPTH_MOST:
                raise Problem(
                    "malformed-json", f"The body is nested deeper than {DEPTH_MOST} levels."
                )
        elif first in b"]}":
            depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise Problem(
            "malformed-json", f"The key {json.dumps(twice[:100])} comes twice in one object."
        )
    return found


def _constant(name: str) -> float:
    raise Problem("malformed-json", f"{name} is not a number of JSON.")


def _integer(digits: str) -> int:
    if len(digits) > DIGITS_MOST:
        raise Problem(
            "malformed-json", f"A number has {len(digits)} digits; at most {DIGITS_MOST} are taken."
        )
    return int(digits)


def _number(digits: str) -> float:
    value = float(digits) if len(digits) <= DIGITS_MOST else math.inf
    if not math.isfinite(value):
        raise Problem("malformed-json", f"The number {digits[:40]} is too large or too long.")
    return value


def _check_text(value: Any) -> None:
    """Refuse what no database keeps and no reader shows: NUL and lone surrogates, in keys and
    values.
    """
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            if "\x00" in one or any("\ud800" <= c <= "\udfff" for c in one):
                raise Problem("malformed-json", "A text contains NUL or half of a surrogate pair.")
        elif isinstance(one, dict):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, list):
            waiting += one
