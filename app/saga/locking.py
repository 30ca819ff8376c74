"""Semantic locks, as a developer declares them: which business records a job must have to itself.

Isolation is what sagas give up: between two steps everybody sees what is half done. A lock is a
word on a business record (`order:A-17`), held from before a job's first step until the job has
ended, undos included. It is not a lock of any database: a job that names none is not kept out. A
key is one tenant's: two tenants with an order A-17 have two records.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from surefoot.app.errors import DefinitionError
from surefoot.app.saga.declaration_args import Duration, choice, positive, said
from surefoot.app.saga.graph_builder import Declared, KeysOf
from surefoot.app.saga.naming import DEFAULT_TENANT
from surefoot.app.saga.outcomes import Rejected
from surefoot.app.saga.source_location import accepts


class Shared(str):
    """A lock's key that is one record for the jobs of all tenants: `Shared("cutoff")`. Any other
    key is the tenant's own.
    """

    __slots__ = ()


DEFAULT_WAIT = "10m"
POLICIES = ("wait", "fail")
MOST_KEYS, LONGEST_KEY_CHARS = (
    16,
    200,
)  # by default; the settings SUREFOOT_LOCK_KEYS and SUREFOOT_LOCK_KEY_CHARS say otherwise


def declared_locks(
    locks: Callable[..., Sequence[str]] | None,
    on_locked: str | None,
    lock_wait: Duration | None,
    line: str,
    what: str,
) -> tuple[KeysOf | None, str, float]:
    """What was said, with its defaults: (keys of an input, policy, seconds to wait).

    Raises: DefinitionError.
    """
    at = f"{line}: {what}"
    if locks is None and (on_locked is not None or lock_wait is not None):
        word = "on_locked" if on_locked is not None else "lock_wait"
        raise DefinitionError(
            f"{at}: {word}= says what to do about locks, but there are none. Say locks=lambda o: [...], or take it away."
        )
    if on_locked is not None:
        choice(on_locked, POLICIES, "on_locked", line, what)
    if on_locked == "fail" and lock_wait is not None:
        raise DefinitionError(
            f"{at}: lock_wait={lock_wait!r}, but on_locked='fail' never waits. Keep one of the two."
        )
    if locks is not None and (
        not callable(locks) or inspect.iscoroutinefunction(locks) or not _takes(locks)
    ):
        raise DefinitionError(
            f"{at}: locks={said(locks)}. Say a plain function of the input (or of input and tenant)"
            " that gives keys, like lambda o: [f'order:{o.ref}']."
        )
    return (
        locks,
        on_locked or "wait",
        positive(DEFAULT_WAIT if lock_wait is None else lock_wait, "lock_wait", line, what),
    )


def _takes(locks: Callable[..., Any]) -> bool:
    return accepts(locks, 1) or accepts(locks, 2)


def keys_of(
    saga: Declared,
    request: Any,
    tenant: str = DEFAULT_TENANT,
    *,
    most: int = MOST_KEYS,
    longest: int = LONGEST_KEY_CHARS,
) -> tuple[str, ...]:
    """The keys that a job of this tenant with this input takes, sorted, each once; none when it
    needs none. `Shared` stays `Shared`.

    Args: `request`, the input as the saga's model; `most` keys (SUREFOOT_LOCK_KEYS) of `longest`
    characters (SUREFOOT_LOCK_KEY_CHARS).
    Raises: Rejected when they cannot be keys; whatever the developer's function raises.
    """
    if saga.locks is None:
        return ()
    given = saga.locks(request) if accepts(saga.locks, 1) else saga.locks(request, tenant)
    if isinstance(given, str) or not isinstance(given, (list, tuple, set, frozenset)):
        raise Rejected(f"locks= gave {said(given)}: it must give a list of keys")
    for key in given:
        if not isinstance(key, str) or not key or not key.isprintable() or key != key.strip():
            raise Rejected(
                f"locks= gave {said(key)}: a key is text that can be printed, without space around it"
            )
        if len(key) > longest:
            raise Rejected(
                f"locks= gave a key of {len(key)} characters; at most {longest} are taken (SUREFOOT_LOCK_KEY_CHARS)"
            )
    keys = tuple(
        key for _, _, key in sorted({(str(key), isinstance(key, Shared), key) for key in given})
    )
    if len(keys) > most:
        raise Rejected(
            f"locks= gave {len(keys)} keys; a job takes at most {most} (SUREFOOT_LOCK_KEYS)"
        )
    return keys
