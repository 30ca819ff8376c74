"""Do the targets of SUREFOOT_FAULTS exist? Asked where the sagas are known; the setting's form is
checked before.
"""

from __future__ import annotations

from collections.abc import Sequence

from surefoot.app.errors import SettingsError
from surefoot.app.faults import POINTS_OF, Fault
from surefoot.app.saga.naming import did_you_mean
from surefoot.app.saga.registry import Registry


def check_targets(plan: Sequence[Fault], known: Registry) -> None:
    """Raises: SettingsError for the first fault whose saga, step or undo is not in this registry."""
    names = [name for saga in known.all() for name, *_ in saga.tasks()]
    for fault in plan:
        if fault.target not in POINTS_OF and fault.target not in names:
            raise SettingsError(
                f"SUREFOOT_FAULTS: there is no operation {fault.target!r}.{did_you_mean(fault.target, names)}"
            )
