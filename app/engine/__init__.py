"""How a job moves.

The hazard: a worker may die between any two statements, a frozen one may write an hour late, two of them may finish the
last two parallel steps at the same instant, and a cancel may come in between. The answer: every move is one transaction
that locks the job's row first (`move.Move`), changes operations by guarded updates, and writes what happened to the
history. What a move releases is returned as a plan, published only after the commit; a lost message costs time, never a
step. The rules are those of docs/architecture.md: going forward (`attempt`, `advance`), the turn and the way back
(`turn`), the locks before the first step (`locking`), a person's word (`decide`), and the sweeps that heal what a crash left (`sweep`).

Floors inside: submit, perform, keep, sweep, decide > locking > attempt > turn > advance > move.
"""
