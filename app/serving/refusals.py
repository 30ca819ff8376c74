"""Answers that are given before a request is whole, ready to be sent. Their types are pages like
those of all problems."""

from __future__ import annotations

import json


def _refusal(status: int, reason: str, slug: str, detail: str, *fields: str) -> bytes:
    body = json.dumps(
        {"type": f"/problems/{slug}", "title": reason, "status": status, "detail": detail}
    ).encode()
    head = [
        f"HTTP/1.1 {status} {reason}",
        "Content-Type: application/problem+json",
        f"Content-Length: {len(body)}",
    ]
    head += [
        "Connection: close",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        *fields,
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
TOO_SLOW = _refusal(
    408, "Request Timeout", "request-timeout", "The request did not arrive in time."
)
HEAD_TOO_LARGE = _refusal(
    431,
    "Request Header Fields Too Large",
    "head-too-large",
    "The head of the request is too large.",
)
NO_ROOM = _refusal(
    503,
    "Service Unavailable",
    "unavailable",
    "Too many large requests are on their way.",
    "Retry-After: 5",
)
