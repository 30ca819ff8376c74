"""What saga authors import. Everything else is Surefoot's own business and may change.

The names are loaded when they are first used: `surefoot --help` needs neither SQLAlchemy nor pydantic.
`app`, `workers`, `web` and `celeryconfig` beside this file are links to the folders at the top of the repository;
an installed package holds them as folders of its own.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from surefoot.app.embedded.jobs import JobRef, JobView, StepView, cancel, job, submit
    from surefoot.app.errors import (
        Conflict,
        InvalidInput,
        KeyReused,
        NotFound,
        RequestError,
        SettingsError,
        StoreUnavailable,
        SurefootError,
        TooManyOpenJobs,
        TryLater,
        UnknownSaga,
    )
    from surefoot.app.participant import (
        ActionUndone,
        EffectReport,
        EffectState,
        barrier,
        barrier_table,
        effects_in_barrier,
        effects_in_barrier_between,
        stand_in,
    )
    from surefoot.app.saga.context import Context
    from surefoot.app.saga.definition import Saga
    from surefoot.app.saga.inputs import refused_above, says, secret
    from surefoot.app.saga.locking import Shared
    from surefoot.app.saga.outcomes import (
        NEVER,
        UNKNOWN,
        Failed,
        Happened,
        NothingSent,
        NotYet,
        Probed,
        Rejected,
        RetryLater,
    )
    from surefoot.app.saga.policies import Retry
    from surefoot.app.saga.step import Step

__all__ = [
    "NEVER",
    "UNKNOWN",
    "ActionUndone",
    "Conflict",
    "Context",
    "EffectReport",
    "EffectState",
    "Failed",
    "Happened",
    "InvalidInput",
    "JobRef",
    "JobView",
    "KeyReused",
    "NotFound",
    "NotYet",
    "NothingSent",
    "Probed",
    "Rejected",
    "RequestError",
    "Retry",
    "RetryLater",
    "Saga",
    "SettingsError",
    "Shared",
    "Step",
    "StepView",
    "StoreUnavailable",
    "SurefootError",
    "TooManyOpenJobs",
    "TryLater",
    "UnknownSaga",
    "barrier",
    "barrier_table",
    "cancel",
    "effects_in_barrier",
    "effects_in_barrier_between",
    "job",
    "refused_above",
    "says",
    "secret",
    "stand_in",
    "submit",
]

_MODULE_OF = {
    name: f"surefoot.app.{module}"
    for module, names in {
        "participant": "ActionUndone EffectState EffectReport barrier barrier_table effects_in_barrier effects_in_barrier_between stand_in",
        "embedded.jobs": "JobRef JobView StepView cancel job submit",
        "errors": "Conflict InvalidInput KeyReused NotFound RequestError SettingsError StoreUnavailable"
        " SurefootError TooManyOpenJobs TryLater UnknownSaga",
        "saga.context": "Context",
        "saga.definition": "Saga",
        "saga.inputs": "refused_above says secret",
        "saga.locking": "Shared",
        "saga.outcomes": "NEVER UNKNOWN Failed Happened NothingSent NotYet Probed Rejected RetryLater",
        "saga.policies": "Retry",
        "saga.step": "Step",
    }.items()
    for name in names.split()
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'surefoot' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_MODULE_OF[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
