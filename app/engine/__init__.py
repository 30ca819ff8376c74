"""How a job moves.

The hazard: a worker may die between any two statements, a frozen one may write an hour late, two of
them may finish the last two parallel steps at the same instant, and a cancel may come in between.
The answer: every change is one transaction that locks the job's row first (`jobs.transaction`),
changes operations by guarded updates, and writes what happened to the history. What a change
releases is returned as a plan, published only after the commit; a lost message costs time, never a
step. The rules are those of docs/architecture.md.

The rooms are named for those who call them; a contract in setup.cfg keeps their order:

* `jobs`: what every change of a job goes through: submit, claim, complete, fail, release,
  compensation.
* `worker`: what a worker process does with a message.
* `relay`: the duties that heal what a crash left behind.
* `operators`: what people decide.
* `reconcile`: what services say, compared with the account of effects.
"""
