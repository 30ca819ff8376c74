"""What a job may have to itself: semantic locks.

The hazard: between two steps of a saga everybody sees what is half done. A cancel that races a
change gives back the old amount and leaves the new one; two changes of one order both start from
the same old one. The answer: a job names the business records that it is about, takes all of them
before its first step or none, and holds them until it has ended, undone or in need of a person
included.

Taking, queueing, leaving and handing on concern several jobs, so they are done under a mutex for
each key, always taken in the same order, after the own job's row and its operations: between the
end of a holder and the next taking there is no row that could be locked. Another job's row is never
locked here; its parked operations are woken like any due ones, and their `due_at` is there to fall
back on.

What is left to the caller: the transaction, the own job's lock, and what becomes of the operation
(app/engine/worker/gates.py).
"""

from __future__ import annotations

from surefoot.app.limits.locks import Blocked, Taken, leave, release, take

__all__ = ["Blocked", "Taken", "leave", "release", "take"]
