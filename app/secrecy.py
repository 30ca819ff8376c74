"""What nobody may see of a job's input, and the one place that takes it out of whatever is shown.

Which those are, the input's schema says (`surefoot.app.saga.inputs.secret_values`). The store keeps
the truth, for the next step needs it: the input, results, checkpoints, keys of locks. Whatever
leaves towards people goes through here: failures and progress before they are written, results,
histories and keys when they are read, lines of a log and prints when they are written. Found is a
secret as it is, in any case of letters, inside JSON, a repr or an address. Not found is what a step
has made of it: a part, a digest, base64, one text spread over two lines.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable
from functools import lru_cache
from typing import Any
from urllib.parse import quote
from weakref import WeakKeyDictionary

MASK = "***"
Secrets = tuple[str, ...]
NONE: Secrets = ()


def scrub(text: str, secrets: Iterable[str]) -> str:
    """`text` with every secret replaced by MASK."""
    pattern = _pattern(tuple(secrets))
    return text if pattern is None else pattern.sub(MASK, text)


def scrub_json(value: Any, secrets: Secrets) -> Any:
    """A copy of a JSON value in which no text, number or name holds a secret."""
    if not secrets:
        return value
    if isinstance(value, str):
        return scrub(value, secrets)
    if isinstance(value, dict):
        return {
            scrub(str(name), secrets): scrub_json(inner, secrets) for name, inner in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [scrub_json(inner, secrets) for inner in value]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return MASK if str(value) in secrets else value
    return value


# --- what this process writes meanwhile -----------------------------------------------------------
_kept: WeakKeyDictionary[threading.Thread, Secrets] = WeakKeyDictionary()
_lock = threading.Lock()


def keep_hidden(secrets: Secrets) -> None:
    """From now on no line that this process writes shows these, until this thread keeps others
    hidden.

    For the whole process: a step's own threads write lines, too. Past the attempt's end: so do the
    libraries around it.
    """
    with _lock:
        _kept[threading.current_thread()] = secrets


def hidden_now() -> Secrets:
    """What the lines of this process may not show."""
    if not _kept:
        return NONE
    with _lock:
        each = [secrets for secrets in _kept.values() if secrets]
    return (
        each[0] if len(each) == 1 else tuple(sorted({text for secrets in each for text in secrets}))
    )


# --- how ------------------------------------------------------------------------------------------
def _quoted(text: str) -> tuple[str, str]:
    return quote(text, errors="replace"), quote(text, safe="", errors="replace")


@lru_cache(maxsize=256)
def _pattern(secrets: Secrets) -> re.Pattern[str] | None:
    """Each form in which text shows a secret, the longest first."""
    forms = {
        form
        for s in secrets
        for form in (s, s.strip(), json.dumps(s)[1:-1], repr(s)[1:-1], *_quoted(s))
    }
    ordered = sorted(forms - {""}, key=lambda form: (-len(form), form))
    return re.compile("|".join(map(re.escape, ordered)), re.IGNORECASE) if ordered else None
