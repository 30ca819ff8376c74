"""How well an undo undoes."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

# What an author may write; a test holds it to be the same as the enum.
FidelityWord = Literal["exact", "equivalent", "partial", "notice"]


class Fidelity(StrEnum):
    """What the world looks like after the undo."""

    EXACT = "exact"  # as if the step had never been done
    EQUIVALENT = "equivalent"  # the same worth, such as a refund beside the charge
    PARTIAL = "partial"  # something stays, such as a fee
    NOTICE = "notice"  # only told: the effect itself stays

    @property
    def leaves_something(self) -> bool:
        """Whether something of the effect stays although the undo has run."""
        return self in (Fidelity.PARTIAL, Fidelity.NOTICE)


FIDELITIES = tuple(str(fidelity) for fidelity in Fidelity)
LEAVES_SOMETHING = tuple(str(one) for one in Fidelity if one.leaves_something)
