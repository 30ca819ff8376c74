"""How the text of a key, or of a session, is kept: as its SHA-256."""

from __future__ import annotations

import hashlib


def hashed(text: str) -> str:
    """A fast hash is right here: the text is 256 random bits, nothing that could be guessed from a
    list of words. Returns: 64 hexadecimal digits.
    """
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
