"""Rows of semantic locks and of the queues for them."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class PlaceRow(Protocol):
    """A place in the queue for a key. `over`: its time is up."""

    @property
    def key(self) -> str: ...
    @property
    def place(self) -> int: ...
    @property
    def since(self) -> datetime: ...
    @property
    def until(self) -> datetime: ...
    @property
    def over(self) -> bool: ...


class KeyJobRow(Protocol):
    """A key, and a job that has it or waits for it."""

    @property
    def key(self) -> str: ...
    @property
    def job_id(self) -> str: ...


class AheadRow(KeyJobRow, Protocol):
    """A job that comes before another one."""

    @property
    def tenant_id(self) -> str: ...


class InvolvedJobRow(Protocol):
    """A job that has a key, or waits for it. `tenant`: its name."""

    @property
    def id(self) -> str: ...
    @property
    def saga(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def tenant_id(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def tenant(self) -> str: ...


class HolderRow(InvolvedJobRow, Protocol):
    """The job that has a key."""

    @property
    def taken_at(self) -> datetime: ...


class WaiterRow(InvolvedJobRow, Protocol):
    """A job that waits for a key."""

    @property
    def since(self) -> datetime: ...
    @property
    def until(self) -> datetime: ...
