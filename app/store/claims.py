"""What a claim writes into an operation's row: the holder, and for how long."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Holder:
    """A worker (`worker_id`) and its child process, and the `message` they came by.

    `message` None: that of the operation itself. An operation that runs on without a message of its
    own is held by the message of the one before.
    """

    worker_id: str
    pid: int
    message: str | None = None


@dataclass(frozen=True)
class ClaimRequest:
    """`worker_id`, `pid`: the worker and its child; `message_id`: the message it came with, that of
    an operation before it where it runs on.

    `lease_s`: seconds until it counts as lost unless its worker says otherwise; `hard_s`: seconds
    until it ends in any case.
    `apart`: where a completion claims it, that it does not wait for what is completed.
    """

    operation_id: str
    worker_id: str
    pid: int
    message_id: str
    lease_s: float
    hard_s: float
    apart: bool = False
