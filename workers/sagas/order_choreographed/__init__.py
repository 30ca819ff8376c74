"""The order saga without a coordinator: four services that react to each other's events.

Hazard: nobody knows where an order stands. A message that is lost stops it silently, one that comes
twice does things twice, and an event may arrive before the one it answers. Answer, in each service
alone:

* **outbox**: an event is a row, written in the transaction that makes it true, and sent until the
  broker has taken it;
* **inbox**: an arriving event is a row before it is acknowledged; the effect, the events it causes
  and the word that it was handled are one transaction. An event that comes again changes nothing,
  and its answer is sent again;
* **asking again**: a service that waits for an answer publishes its last event anew, at growing
  intervals by its database's clock. As everybody answers a repeat by repeating himself, one
  question heals a loss anywhere behind it.

Nothing here asks the engine. The saga in `saga.py` hands an order over and watches; the order lands
without it as well.
"""
