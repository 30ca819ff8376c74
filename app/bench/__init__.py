"""`surefoot bench`: what durability costs, beside plain Celery, on the same machine in the same
minute.

The hazard: a rate measured alone says nothing. Machines differ, neighbours come and go, and a
second run on the same machine may be a third slower. So every row runs in every round, one after
the other, on the same broker, the same store and the same number of worker processes, and what
counts is the ratio to the plain peer *of the same round*; CPU time and counts (write transactions,
messages, broker commands) are given beside the rates, since they depend on no neighbour.

* `rows`: what is measured against what.
* `place`: a home, a store and a broker of its own, or databases of its own on the given servers;
  all gone afterwards.
* `fleet`: the workers and the client, started by module name (`surefoot.workers.bench`), never
  imported.
* `gauges`: processor time, commands, transactions, WAL bytes, memory, and what the rest of the
  machine was doing.
* `polling`: what a status poll costs beside a request that does nothing; `knocking` sends them.
* `run`: the rounds. `result`: medians and ratios. `report`: the table and the JSON.
"""
