"""Keys that a form is drawn with: however often it is sent, it is done once."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

KEY_CHARACTERS = 64


def new_key() -> str:
    """Made when the form is drawn."""
    return f"form-{secrets.token_urlsafe(18)}"


def key_of(form: Mapping[str, str]) -> str | None:
    """The key that a form was sent with; None when it has none that can be used."""
    key = form.get("key", "")
    return key if 1 <= len(key) <= KEY_CHARACTERS and key.isascii() and key.isprintable() else None
