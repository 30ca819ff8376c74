"""Texts that somebody else wrote, on their way into a column and out of one.

Hazard: a message of an exception or of a progress bar may hold what a database refuses (NUL, half
of a surrogate pair) and what commands a terminal or turns the reading direction. Answer: those
characters are written as escapes, as in a log's line, before the text reaches a column; whatever is
stored all the same leaves as valid UTF-8.
"""

from __future__ import annotations

import json
import re
from typing import Any

# Controls but tab and line feed, line and paragraph separators, what changes the direction, halves
# of surrogate pairs.
_UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_HALVES = re.compile("[\ud800-\udfff]")
READ_CHARS = 1 << 20  # of a text that is cut to less: what lies beyond is not looked at


def storable(text: str, most: int) -> str:
    """`text` as every store takes it, at most `most` characters of it."""
    return _UNFIT.sub(_escaped, text[:READ_CHARS])[:most]


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def to_utf8(text: str) -> bytes:
    """`text` as UTF-8; half of a surrogate pair becomes U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _HALVES.sub("\ufffd", text).encode()


def json_bytes(value: Any) -> bytes:
    """A JSON value as UTF-8, without blanks."""
    return to_utf8(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
