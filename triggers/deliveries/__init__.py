"""The inbox: a row for each request that came to the address of a workflow, accepted or not.

* `arrivals`: what is known of a request, with whatever proves who somebody is left out (`headers`).
* An accepted one is written by the statement that captures its event: both are stored, or neither.
* `desk`: all others are noted in memory once the answer is decided, and written by a thread, many in one statement.
  So no answer waits for its delivery, or takes longer at an address that exists.
* `page`: how much of that is kept, and what is counted instead.
* `pruning`: the sweep keeps the table bounded. It is no memory for idempotency keys: those stay with the events.
* `searching`, `sending`, `samples`: what people do with it.

What came to an address that belongs to no workflow is counted by the day and never stored.
"""
