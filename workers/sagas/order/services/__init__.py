"""The services behind the order saga.

None of them imports another, and each keeps its tables in its own database.

A service's function is given the step's context and plain values, does one local transaction behind
the barrier, and returns a result that a repeat returns again. Only `payment` calls somebody else
(the bank), and so does it in three moves: commit the intent, call with the effect's key, commit the
result.
"""
