"""How messages leave: a plan becomes Celery chains and chords of task names.

The hazard: a broker may lose, repeat or freeze any message, and a chord that counts in the broker
can count wrong or stick for ever. The answer: a message says only "look at operation X of job J";
the store decides what may run, and when a join is ready. So publishing may fail at any time and the
sweep rings again; a publish never raises, never waits longer than a fraction of a second, and after
a failure nobody tries for a while. Left to the caller: telling the store which operations were
really sent.
"""
