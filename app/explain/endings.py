"""What is said of a job that has turned, ended, or asks for a person."""

from __future__ import annotations

from surefoot.app.explain.facts import Facts, Letter, message_of
from surefoot.app.explain.words import at, counted, first_of, sentence
from surefoot.app.rules.decisions import Resolution, choice
from surefoot.app.rules.findings import Finding, lateness
from surefoot.app.rules.findings import sentence as found_sentence
from surefoot.app.rules.reasons import FailureReason, gave_up
from surefoot.app.rules.states import Cause, Dir, JobState, Kind, OpState
from surefoot.app.store.views.effects import Effect, note_of


def reason(facts: Facts) -> str:
    """Why the job turned: what the service said, a deadline, or who cancelled it."""
    job = facts.snapshot.job
    if job.cause == Cause.CANCEL:
        who = f" by {facts.turned.actor}" if facts.turned and facts.turned.actor else ""
        return f"cancelled{who}"
    if job.cause == Cause.DEADLINE:
        return "its deadline passed"
    if job.cause == Cause.SLA:
        return "it took longer than its saga allows"
    if job.cause == Cause.REFUSED:
        return f"its approval was refused{': ' + job.reason if job.reason else ''}"
    step = (job.error or {}).get("step")
    said = message_of(job.error) if job.error else job.reason or "a step failed"
    return f"{said.rstrip('.')} ({step})" if step else said


def ended(facts: Facts) -> str:
    """The sentence of a job that is final."""
    job = facts.snapshot.job
    when = at(job.finished_at, facts.today) if job.finished_at else "the end"
    if job.state == JobState.COMPLETED:
        done = [
            facts.words.done(op.step)
            for op in facts.snapshot.actions
            if op.state == OpState.COMPLETED
        ]
        late = "; later than its deadline asked for" if job.deadline_missed else ""
        return sentence(f"completed at {when}: {counted(done, 'done')}{late}")
    why = reason(facts)
    head = why if job.cause == Cause.CANCEL else f"failed: {why}"
    return f"{sentence(head)} {undone(facts)}"


def undone(facts: Facts) -> str:
    """What became of all that had happened: `Undone: nothing is left of it; room released, card
    refunded (…)`.

    Told from every effect: what an undo leaves, what nobody could undo, and what its saga does not
    undo are all still there.
    """
    left = [effect for effect in facts.effects if effect.left_over]
    back = [
        _undo_words(facts, effect)
        for effect in reversed(facts.effects)
        if effect.undo_state == "done" and not effect.left_over
    ]
    nothing = [
        e for e in facts.effects if e.outcome == "none" and e.undo_state in ("not_needed", "done")
    ]
    never = [facts.words.title(e.step) for e in nothing if _begun(facts, e.step)]
    said_never = f"not done: {counted(never, 'that had begun')}" if never else ""
    if left:
        named = first_of([f"{facts.words.done(e.step)} ({_left_words(facts, e)})" for e in left])
        only_stays = not back and all(effect.stays for effect in left)
        head = (
            f"{len(left)} effect{'s stay' if len(left) > 1 else ' stays'}: {named}"
            if only_stays
            else f"undone but for {named}"
        )
    elif back:
        head = "undone: nothing is left of it"
    else:
        head = "nothing had taken effect, so nothing is left of it"
    return sentence(head, counted(back, "undone"), said_never)


def findings(facts: Facts) -> list[str]:
    """What reconciliation found and nobody has closed: lateness while the job is under way, and
    what a service says otherwise.
    """
    said = []
    for row in facts.findings:
        if row.finding == Finding.LATE and not facts.snapshot.ended:
            said.append(f"it takes longer than its saga allows, {lateness(row.action)}")
        elif template := found_sentence(row.finding):
            said.append(template.format(service=row.service, step=row.step))
    return said


def attention(facts: Facts) -> str:
    """What a person is asked, and what they can do."""
    asked = [_asked(facts, letter) for letter in facts.letters]
    standing = _standing(facts)
    if not asked:
        return f"A person must decide how this job goes on. {_owner(facts)} {standing}".strip()
    must = sentence(f"a person must decide: {first_of(asked)}")
    return f"{must} {_can(facts)} {_owner(facts)} {standing}".strip()


def _can(facts: Facts) -> str:
    """What an operator can decide: once, if it is the same for every letter."""
    of_letters: dict[str, list[str]] = {}
    for letter in facts.letters:
        of_letters.setdefault(choice(letter.actions), []).append(_titled(facts, letter))
    if len(of_letters) == 1:
        return sentence(f"an operator can {next(iter(of_letters))} with a reason")
    said = (f"of {first_of(titles)}, {words}" for words, titles in of_letters.items())
    return sentence("an operator can decide with a reason", *said)


def _standing(facts: Facts) -> str:
    """Of a job that is being undone: why, which is not what a person is asked about, and what is
    still there meanwhile.
    """
    if facts.snapshot.job.direction != Dir.BACK:
        return ""
    there = [
        facts.words.done(e.step)
        for e in facts.effects
        if e.outcome != "none" and e.undo_state in ("pending", "refused")
    ]
    still = f"not undone so far: {first_of(there)}" if there else ""
    return sentence(f"why it is undone: {reason(facts)}", still)


def _owner(facts: Facts) -> str:
    job = facts.snapshot.job
    if job.owner is None:
        return "It has no owner yet."
    return f"{job.owner} has it{f' since {at(job.owned_at, facts.today)}' if job.owned_at else ''}."


def _asked(facts: Facts, letter: Letter) -> str:
    title = _titled(facts, letter)
    tried = f" after {letter.attempts} attempts" if letter.why == FailureReason.EXHAUSTED else ""
    return f"{title} {gave_up(letter.why)}{tried} ({letter.message})"


def _titled(facts: Facts, letter: Letter) -> str:
    op = facts.snapshot.get(letter.step, letter.kind)
    return facts.title(op) if op else letter.step


def _undo_words(facts: Facts, effect: Effect) -> str:
    node = facts.snapshot.graph.by_name[effect.step]
    undo = node.compensation
    note = note_of(node, effect) if effect.outcome != "none" else ""
    return facts.words.undone(effect.step, undo.name if undo else None) + (
        f" ({note})" if note else ""
    )


def _left_words(facts: Facts, effect: Effect) -> str:
    op = facts.snapshot.get(effect.step, Kind.UNDO)
    node = facts.snapshot.graph.by_name[effect.step]
    if effect.stays:
        said = node.note or "it is not undone"
        return said if effect.outcome == "done" else f"it may have happened; {said}"
    if effect.undo_state == Resolution.WAIVED:
        return "waived by a person"
    if effect.undo_state == "refused":
        return message_of(op.error) if op and op.error else "it cannot be undone"
    return note_of(node, effect) or "undone in part"


def _begun(facts: Facts, step: str) -> bool:
    op = facts.snapshot.get(step)
    return op is not None and op.started
