"""Everything that can go wrong, in one process, from one number.

The hazard: a saga engine fails in the gaps between its transactions, and those gaps are
microseconds wide. Tests with real processes hit one of a thousand by luck, and never the same one
twice.

The answer: the real engine and its real SQL, with everything around it simulated: time (`clock`),
the store (`store`: in memory, or on PostgreSQL, `postgres`; triggers see what no reader could), the
broker (`broker`), the processes (`stage`: actors that run one at a time and stop, freeze or die at
named points), and a service with the real barrier (`service`). A schedule (`schedule`) is a list of
small actions drawn from a seed, so it can be replayed, cut short (`shrink`) and read.

Two phases: while anything may fail, what must always hold is asked after every action (`watch`);
then everything heals, and all jobs must land within a bound.

Floors inside: run > shrink > schedule > world > service, sagas > broker > postgres > store > doors,
watch, clock > stage.
"""
