"""Bodies that anybody may have sent: what is refused, with which status, and what is taken as it is."""

from __future__ import annotations

import pytest

from surefoot.web.api.problems import Problem
from surefoot.web.body import DEPTH_MOST, parse

DEEP = 100_000


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b" \n", id="blank"),
        pytest.param(b"{", id="cut off"),
        pytest.param(b"{'a': 1}", id="single quotes"),
        pytest.param(b'{"a": 1,}', id="trailing comma"),
        pytest.param(b'{"a": 1} {"b": 2}', id="two texts"),
        pytest.param(b'{"a": 1, "a": 2}', id="duplicate key"),
        pytest.param(b'{"x": {"a": 1, "\\u0061": 2}}', id="duplicate key by escape"),
        pytest.param(b'{"a": NaN}', id="NaN"),
        pytest.param(b'{"a": -Infinity}', id="Infinity"),
        pytest.param(b'{"a": 1e999}', id="infinite by exponent"),
        pytest.param(b'{"a": ' + b"9" * 100_000 + b"}", id="a hundred thousand digits"),
        pytest.param(b'{"a": 0.' + b"1" * 100_000 + b"}", id="a hundred thousand decimals"),
        pytest.param(b'{"a": "\\ud800"}', id="lone surrogate"),
        pytest.param(b'{"\\udfff": 1}', id="lone surrogate in a key"),
        pytest.param(b'{"a": [["\\u0000"]]}', id="NUL"),
        pytest.param(b'{"a": "\x00"}', id="raw NUL"),
        pytest.param(b'{"a": "\xff"}', id="not UTF-8"),
        pytest.param(b"\xef\xbb\xbf{}", id="byte order mark"),
        pytest.param(nested(DEEP), id="nested deep"),
        pytest.param(b'{"a":' * DEEP + b"1" + b"}" * DEEP, id="objects nested deep"),
        pytest.param(b"[" * DEEP, id="opened and never closed"),
        pytest.param(nested(DEPTH_MOST + 1), id="one too deep"),
    ],
)
def test_given_text_that_is_no_json_of_ours_when_parsed_then_400(raw: bytes) -> None:
    with pytest.raises(Problem) as refused:
        parse(raw)
    assert (refused.value.slug, refused.value.status) == ("malformed-json", 400)
    assert len(refused.value.detail) < 300


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        pytest.param(
            b'{"a": [1, 2.5, true, null, "x"]}', {"a": [1, 2.5, True, None, "x"]}, id="plain"
        ),
        pytest.param(
            '{"a": "\\ud83d\\ude00 é"}'.encode(), {"a": "😀 é"}, id="a pair of surrogates"
        ),
        pytest.param(
            nested(DEPTH_MOST)[:-DEPTH_MOST] + b"]" * DEPTH_MOST, None, id="as deep as allowed"
        ),
        pytest.param(
            b'{"a": "' + b"[{" * 200 + b'"}', {"a": "[{" * 200}, id="brackets inside a text"
        ),
        pytest.param(
            b'{"a": "' + b'\\"[' * 200 + b'"}',
            {"a": '"[' * 200},
            id="quotes and brackets inside a text",
        ),
        pytest.param(b"[" + b"[]," * 5000 + b"[]]", [[]] * 5001, id="wide, not deep"),
        pytest.param(b'{"n": ' + b"7" * 100 + b"}", {"n": int("7" * 100)}, id="a hundred digits"),
    ],
)
def test_given_json_when_parsed_then_its_value(raw: bytes, value: object) -> None:
    parsed = parse(raw)
    assert value is None or parsed == value


@pytest.mark.parametrize("unit", [b'"', b'\\"', b'"\\', b'{"', b'"[\\\\'])
def test_given_many_broken_texts_when_scanned_then_it_ends(unit: bytes) -> None:
    """A scan that looked again from every quote would take hours for this."""
    with pytest.raises(Problem):
        parse(b"[" * 65 + unit * (1_000_000 // len(unit)) + b"\\")
