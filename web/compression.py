"""Large answers are packed by gzip where the caller takes it: a page of a wide job is a tenth of
its size."""

from __future__ import annotations

import gzip

from flask import Flask, Response, request

LEAST_BYTES = 4096  # below it a packet or two are saved, and the processor pays for it
LEVEL = 5  # a millisecond for 50 KB; more gains a few per cent
KINDS = ("text/", "application/json", "application/problem+json")


def install(app: Flask) -> None:
    app.after_request(_pack)


def accepts_gzip() -> bool:
    return request.accept_encodings.quality("gzip") > 0


def pack(raw: bytes) -> bytes:
    """The same bytes are always packed alike."""
    return gzip.compress(raw, LEVEL, mtime=0)


def _pack(response: Response) -> Response:
    if (
        response.status_code != 200
        or response.is_streamed
        or "Content-Encoding" in response.headers
    ):
        return response
    if (
        not (response.mimetype or "").startswith(KINDS)
        or (response.content_length or 0) < LEAST_BYTES
    ):
        return response
    response.vary.add("Accept-Encoding")
    if accepts_gzip():
        response.set_data(pack(response.get_data()))
        response.headers["Content-Encoding"] = "gzip"
        tag, _ = response.get_etag()
        if tag:
            # other bytes than the tag was made of, and they say the same
            response.set_etag(tag, weak=True)
    return response
