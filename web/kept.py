"""Answers that never change while a process lives: made once, packed once, and named by a tag."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from flask import Response, request

from surefoot.web.compression import accepts_gzip, pack

FOREVER = "public, max-age=31536000, immutable"
ASK_FIRST = "no-cache"  # a cache asks by the tag each time
FINGERPRINT_CHARS = 12


@dataclass(frozen=True)
class Kept:
    """`packed`: the same bytes by gzip; `tag`: of the bytes."""

    raw: bytes
    packed: bytes
    tag: str
    mimetype: str

    @classmethod
    def of(cls, raw: bytes, mimetype: str) -> Kept:
        return cls(raw, pack(raw), hashlib.sha256(raw).hexdigest()[:32], mimetype)

    @property
    def fingerprint(self) -> str:
        """For its address: another one for other bytes."""
        return self.tag[:FINGERPRINT_CHARS]

    def answer(self, cache: str = ASK_FIRST) -> Response:
        """A 200 with its tag, or a 304 where the caller has it."""
        packed = accepts_gzip()
        response = Response(self.packed if packed else self.raw, mimetype=self.mimetype)
        if packed:
            response.headers["Content-Encoding"] = "gzip"
        response.headers["Cache-Control"] = cache
        response.vary.add("Accept-Encoding")
        response.set_etag(self.tag, weak=packed)
        response.make_conditional(request)
        return response
