"""The engine without a broker, a worker process or a wall clock: what tests, drills, the simulation
and the bench share.

The engine, its SQL and its worker loop are the real ones. Around them stand `broker` (a list),
`continuation` (a message at hand, as Celery's canvas keeps it), `clock` (virtual time) and `world`
(all of it, with one worker and one relay). `surefoot.testing` gives this to saga authors.
"""
