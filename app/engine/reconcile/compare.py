"""Does what a service says of an effect agree with the account of it?"""

from __future__ import annotations

from surefoot.app.participant import EffectReport, EffectState
from surefoot.app.rules.decisions import Resolution
from surefoot.app.rules.fidelities import LEAVES_SOMETHING
from surefoot.app.rules.findings import Finding
from surefoot.app.store.views.effects import Effect


def disagreement(effect: Effect, seen: EffectReport | None, *, knows: bool) -> str | None:
    """What is wrong, or None.

    Args: `seen`, what the service said, None when it did not mention the effect; `knows`, whether
    it would have to know it. What is not settled by our own account agrees with everything: an
    outcome that nobody knows, an undo that is still to come or given up (its dead letter is open),
    and what a person has waived. So does a service that cannot tell.
    """
    said = (
        EffectState.NONE
        if seen is None and knows
        else seen.state
        if seen is not None
        else EffectState.UNKNOWN
    )
    if said == EffectState.UNKNOWN or effect.undo_state in (
        "pending",
        "refused",
        Resolution.WAIVED,
    ):
        return None
    if effect.undo_state == "done":
        stands = said == EffectState.DONE and effect.fidelity not in LEAVES_SOMETHING
        return (
            None
            if not stands
            else Finding.DIFFERENT
            if effect.outcome == "done"
            else Finding.MISSING_HERE
        )
    if effect.outcome == "none":
        return Finding.MISSING_HERE if said == EffectState.DONE else None
    if effect.outcome == "done" and said != EffectState.DONE:
        return Finding.MISSING_THERE if said == EffectState.NONE else Finding.DIFFERENT
    return None
