"""Jobs from the code of other programs: submit, read, wait, cancel, and submit in the caller's own
transaction.

The hazard: a program that changes its own tables and asks for a job over HTTP has two writes, and
may crash between them: an order without its job, or a job for an order that was rolled back. The
answer: where the store is in the program's database, the rows of the job are written by the
program's own transaction. Committed, its messages leave; where the process dies at that moment, the
relay sends them. Everything else goes through the same door as HTTP: admission, idempotency keys,
tenants.

Left to the caller: SUREFOOT_DATABASE_URL and SUREFOOT_BROKER_URL of the installation in its
environment.
"""
