"""The order saga: a model for everyone who writes one.

Three services (orders, inventory, payments), each with its own database and its own lane, a bank
that is somebody else's server, and a mail that cannot be taken back. `saga.py` is the table of
contents; `services/` is what each service does in its own transactions; `ledger.py` asks all of
them whether the books agree, without asking the engine.
"""
