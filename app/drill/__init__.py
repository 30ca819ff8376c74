"""`surefoot drill SAGA`: every fault on every operation of a saga, a developer's own included,
before its customers try them.

The hazard: a saga works a thousand times, and then a worker dies between the charge and the note of
it. Nobody tests that by hand, and a test that kills at random meets the window once in a month.

The answer: the graph says which operations there are and the engine names the windows between its
transactions, so the drill goes through all of them, one row each: does to the job what the row
says, lets it land, and asks what must hold: the engine's invariants, the saga's own, what the
services say, and that a person was asked exactly where one has to be.

What is left to the developer: inputs (`examples=`) and a world in which nothing is real
(`@saga.test_environment`), or the word that every step is harmless (`safe_to_drill=True`). Without
that a drill does not start.

Floors inside: run > inprocess, real > judge, person > world > expect > plan; table holds what came
out.
"""
