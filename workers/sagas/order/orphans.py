"""Taking back an effect whose job is not there: what the sagas of this shop share."""

from __future__ import annotations

from typing import Any

from surefoot import Context, Rejected, Step


def only(ctx: Context, step: Step[Any, Any]) -> None:
    """Raises: Rejected when the effect is not of `step`, the one step of its service that has an
    undo.
    """
    if ctx.step != step.name:
        raise Rejected(f"{ctx.step} has no undo.")
