"""What a job did outside, and what became of it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from surefoot.web.api.shapes.common import Fidelity, Shape


class Undo(Shape):
    state: Literal["not_needed", "pending", "done", "refused", "waived", "stays"] = Field(
        description="`stays`: the job was undone, but this effect is never undone (`undo=None`)."
    )
    attempts: int
    note: str = Field(description="What is left, in the author's words; empty if nothing is left.")


class Effect(Shape):
    step: str
    title: str = Field(description="What the step does, in its author's words; else its name.")
    item: str
    key: str = Field(description="The idempotency key that the service knows it by.")
    outcome: Literal["none", "done", "unknown"]
    fidelity: Fidelity | Literal["irreversible"] | None
    undo: Undo


class EffectSummary(Shape):
    done: int
    unknown: int
    undone: dict[str, int] = Field(description="How many were undone, by fidelity.")
    pending: int
    left_over: int
    sentence: str


class Effects(Shape):
    items: list[Effect]
    summary: EffectSummary
