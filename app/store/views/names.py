"""Names and times as people read them."""

from __future__ import annotations

from datetime import UTC, datetime

from surefoot.app.saga.naming import is_name

# Crockford's: no I, L, O, U, so that a name survives the telephone
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
CHARACTERS = 4
API = "/api/v1"


def short_name(saga: str, job_id: str) -> str:
    """A job's name for people, as `order-7K3F`: the last 20 random bits of its id.

    Enough for a talk, not unique for ever.
    """
    bits = int(job_id[-5:], 16)
    digits = [ALPHABET[(bits >> (5 * place)) & 31] for place in reversed(range(CHARACTERS))]
    return f"{saga}-{''.join(digits)}"


def names_in_log(saga: str, job_id: str) -> dict[str, str]:
    """What every line of the log about a job has: its id, the name that people say, and its saga
    ("" where it is not known).
    """
    return (
        {"job": job_id, "name": short_name(saga, job_id), "saga": saga} if saga else {"job": job_id}
    )


_READ_AS = str.maketrans("OIL", "011")  # what people take one of ALPHABET's characters for


def parse_short_name(text: str) -> tuple[str, str] | None:
    """(saga, last five digits of the id) of `order-7K3F`; saga "" of `7K3F`; None of anything else."""
    saga, _, said = text.strip().rpartition("-")
    digits = said.upper().translate(_READ_AS)
    named = not saga or is_name(saga.lower())  # the start of an id has its dashes, too
    if not named or len(digits) != CHARACTERS or not set(digits) <= set(ALPHABET):
        return None
    bits = 0
    for digit in digits:
        bits = (bits << 5) + ALPHABET.index(digit)
    return saga.lower(), f"{bits:05x}"


def stamp(time: datetime | None) -> str | None:
    """RFC 3339 in UTC with milliseconds, as `2026-11-22T10:42:07.123Z`."""
    return (
        None
        if time is None
        else time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


def job_links(job_id: str) -> dict[str, str]:
    here = f"{API}/jobs/{job_id}"
    return {
        "self": here,
        "why": f"{here}/why",
        "history": f"{here}/history",
        "effects": f"{here}/effects",
        "cancel": f"{here}/cancel",
    }
