"""Where operations run: the Celery app, its tasks, and the relay.

The hazard: workers are killed, frozen, cut off from broker or store, and get messages twice, late,
or made of rubbish. The answer, piece by piece:

* `tasks`: a message names an operation; the claim in the store decides whether it runs. What the
  claim says becomes Celery's outcome (success, retry, failure, ignored), so that Flower shows the
  truth.
* `keeper`: a thread of the main process renews the leases of what its children run, and kills a
  child past its limit.
* `request`: when a child dies, its claim is ended first and its message put back second.
* `consumer`: messages that are not ours go to quarantine; nothing that lies in a queue can end a
  worker.
* `drain`: on SIGTERM, running operations may end; what does not end in time is handed back, at no
  cost of an attempt.
* `relay`: one process, by a lease, rings again whatever the broker lost.

Left to the starter of a worker: REMAP_SIGTERM=SIGQUIT in its environment, so that children ignore a
SIGTERM that goes to the whole process group (Celery reads it before any of our code is imported).
"""
