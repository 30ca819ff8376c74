"""Where it is kept.

The hazard: many workers, a relay and a web server move the same job at once, any of them may die
between two statements, and a frozen one may wake up an hour later and write. The answer: every
state changes by one named conditional UPDATE whose WHERE holds the old state (or the attempt's
token) and whose row count tells whether it landed. A caller that drops that answer has a bug.
Modules are named for what they keep, and where that is much, for what they do with it:
`job_writes`, `operation_reads`, `message_reads`. What people read is in `views`. What is left to
the caller: the transaction (`session.transaction`), and the order of locks: the job's row first,
then its operations by rank, then locks by key, then inserts; never two jobs in one transaction.
"""
