"""What earlier attempts may have left: asked before the developer's code is called again.

The hazard is an attempt that nobody has heard the end of. Its effect may be there, may never come,
or may still be on its way. So an action is asked about before it is repeated, and an undo is told
what can be learnt; in doubt it waits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from surefoot.app.engine.jobs.attempt import Failure
from surefoot.app.engine.worker.delivery import OperationInput
from surefoot.app.engine.worker.handle import StepHandle
from surefoot.app.errors import Unreadable
from surefoot.app.rules.events import HistoryEvent
from surefoot.app.rules.reasons import FailureReason
from surefoot.app.rules.states import Kind, OpState
from surefoot.app.saga.calls import ask, invoke
from surefoot.app.saga.context import Context
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.graph import Node
from surefoot.app.saga.outcomes import UNKNOWN, Happened, NotYet
from surefoot.app.store.rows.operations import ResultRow

FOR_GOOD = (
    OpState.FAILED,
    OpState.ABANDONED,
)  # the states of an action that may have failed for good


@dataclass(frozen=True)
class Call:
    """One call of a developer's function.

    `results`: of the steps before it; `own`: its action's row, of an undo or a confirmation.
    """

    saga: Saga[Any]
    node: Node
    context: Context
    port: StepHandle
    work: OperationInput
    results: dict[str, Any]
    own: ResultRow | None

    def make(self, learnt: Any = None) -> Any:
        """Call it. `learnt`: the action's result, of an undo or a confirmation."""
        return invoke(
            self.saga,
            self.node.name,
            self.work.kind,
            self.context,
            self.work.input,
            self.results,
            learnt,
        )

    def ask(self) -> Any:
        """Ask the step's probe."""
        return ask(self.saga, self.node.name, self.context, self.work.input)


def call(asked: Call, *, again: bool) -> Any:
    """Make a call when it may be made.

    `again`: an earlier attempt of this action may have taken effect.

    Returns: the result as JSON, a NotYet, or a Failure.
    """
    if asked.work.kind == Kind.ACTION:
        return _probe_before_retry(asked) if again else asked.make()
    if asked.own is None or asked.own.state == OpState.COMPLETED:
        return asked.make(asked.own.result if asked.own is not None else None)
    if (
        asked.work.kind == Kind.CONFIRM
    ):  # queued by an older release: what a person waived is not confirmed
        asked.context.log.info("nothing_to_confirm")
        return None
    if asked.own.state in FOR_GOOD and (asked.own.error or {}).get(
        "for_good"
    ):  # never run twice, not even as a replay
        if asked.own.result is not None:
            return asked.make(asked.own.result)
        asked = replace(asked, node=replace(asked.node, on_unknown_undo="undo"))
    learnt = _resolve_unknown(asked)
    return learnt if isinstance(learnt, (NotYet, Failure)) else asked.make(learnt)


def _probe_before_retry(asked: Call) -> Any:
    """An earlier attempt may have taken effect: ask before doing it again, where the step can be
    asked.
    """
    if asked.node.probe:
        answer = asked.ask()
        if isinstance(answer, Happened):
            asked.context.log.info("found_done")
            return answer.result
        if answer is UNKNOWN:
            return _in_doubt(
                "an earlier attempt may have taken effect, and that cannot be told yet"
            )
    elif asked.node.at_most_once:
        error = {
            "type": "OutcomeUnknown",
            "message": "an earlier attempt may have taken effect; this step is done at most once, so a person must look",
        }
        return Failure(FailureReason.UNKNOWN_OUTCOME, error, nothing_happened=True)
    return asked.make()


def _resolve_unknown(asked: Call) -> Any | None:
    """Before the undo of an unknown outcome: the action's result if it can be learnt, else None; or
    what to do instead of it.
    """
    if (
        asked.node.on_unknown_undo == "replay"
    ):  # the key is spent afterwards: a late request changes nothing
        return _replayed(asked)
    if not asked.node.probe:
        return None
    answer = asked.ask()
    if isinstance(answer, Happened):
        return answer.result
    if answer is UNKNOWN:
        return _in_doubt("whether the step took effect cannot be told yet, so it is not undone yet")
    wait_s = _on_its_way_s(asked)
    if wait_s > 0:
        asked.context.log.info("absent_so_far", asked_again_in_s=round(wait_s, 3))
        return NotYet(wait_s)
    asked.port.record(HistoryEvent.ASSUMED_ABSENT)
    return None


def _replayed(asked: Call) -> Any | None:
    """The action's result.

    A refusal says that nothing is there to be replayed: never done, or undone by an attempt before
    this one.
    """
    context = replace(asked.context, kind=Kind.ACTION)
    try:
        return invoke(
            asked.saga, asked.node.name, Kind.ACTION, context, asked.work.input, asked.results, None
        )
    except Unreadable:  # ours, not the participant's
        raise
    except Exception as error:
        if not getattr(error, "nothing_happened", False):
            raise
        asked.context.log.info("nothing_to_replay", said=type(error).__name__)
        return None


def _on_its_way_s(asked: Call) -> float:
    """How many seconds longer a request of the action's last attempt may still take effect, by the
    database's clock; 0: no longer.
    """
    own, undo = asked.own, asked.saga[asked.node.name].undo
    if own is None or own.finished_at is None or undo is None:
        return 0.0
    window_s = (
        undo.settle_after_s if undo.settle_after_s is not None else 2 * asked.node.limits.timeout_s
    )
    return max(0.0, window_s - float((own.now - own.finished_at).total_seconds()))


def _in_doubt(message: str) -> Failure:
    return Failure(
        FailureReason.TRANSIENT,
        {"type": "OutcomeUnknown", "message": message},
        nothing_happened=True,
    )
