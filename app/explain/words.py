"""Small pieces of English: times, lists, and names of steps turned into what happened."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime

IRREGULAR = {
    "begin": "begun", "bring": "brought", "build": "built", "buy": "bought", "cut": "cut", "do": "done", "draw": "drawn", "find": "found",
    "get": "got", "give": "given", "go": "gone", "hold": "held", "keep": "kept", "let": "let", "make": "made", "pay": "paid", "put": "put",
    "read": "read", "rebuild": "rebuilt", "resend": "resent", "rewrite": "rewritten", "sell": "sold", "send": "sent", "set": "set",
    "split": "split", "take": "taken", "tell": "told", "undo": "undone", "unset": "unset", "withdraw": "withdrawn", "write": "written",
}  # fmt: skip
DOUBLED = (
    "cancel", "drop", "flag", "label", "log", "map", "pin", "plan", "refer", "scan", "ship", "stop", "submit", "swap", "tag",
    "unpin", "zip",
)  # fmt: skip
VOWELS = "aeiou"


def participle(verb: str) -> str:
    """`release` -> `released`, `send` -> `sent`, `ship` -> `shipped`."""
    if verb in IRREGULAR:
        return IRREGULAR[verb]
    if verb.endswith("e"):
        return verb + "d"
    if len(verb) > 1 and verb.endswith("y") and verb[-2] not in VOWELS:
        return verb[:-1] + "ied"
    return verb + verb[-1] + "ed" if verb in DOUBLED else verb + "ed"


def happened(name: str, negated: bool = False) -> str:
    """What a step did, from its name: `charge_card` -> `card charged`, or `card not charged`."""
    verb, _, thing = name.partition("_")
    words = [thing.replace("_", " "), "not" if negated else "", participle(verb)]
    return " ".join(word for word in words if word)


def at(time: datetime, today: date) -> str:
    """`10:42:07 UTC`, with its date when that is not today."""
    time = time.astimezone(UTC)
    return f"{time:%H:%M:%S} UTC" if time.date() == today else f"{time:%Y-%m-%d %H:%M} UTC"


def listed(parts: Sequence[str], last: str = "and") -> str:
    """`a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {last} {parts[-1]}" if parts else ""


def sentence(*parts: str) -> str:
    """Parts joined by semicolons, as one sentence with its full stop, and its capital unless it begins with the name of a step."""
    text = "; ".join(part.strip().rstrip(".") for part in parts if part.strip())
    if "_" not in text.partition(" ")[0]:
        text = text[:1].upper() + text[1:]
    return f"{text}." if text else ""
