"""W3C trace context: one number by which every log line about a request, its job and its steps is
found (w3.org/TR/trace-context).

A `traceparent` is `00-<trace id>-<span id>-<flags>`, 55 characters. We keep the caller's as it
came, and make one where none came.
"""

from __future__ import annotations

import re
import secrets

HEADER = (
    "traceparent"  # of a request; a command takes TRACEPARENT of its environment, as tracers set it
)
CHARS = 55
_SAID = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)


def taken(said: str | None) -> str:
    """The traceparent that was said, of a later version of the standard too; a new one where none
    was, or what is none.
    """
    found = _SAID.fullmatch(said or "")
    if found is None or (found[1] == "00" and found[5]):
        return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
    return f"00-{found[2]}-{found[3]}-{found[4]}"


def trace_id(traceparent: str) -> str:
    """Its trace id, 32 hexadecimal digits."""
    return traceparent[3:35]
