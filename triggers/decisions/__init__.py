"""Why did it (not) fire? Noted in memory by whoever knows it, carried to Redis, collected into PostgreSQL.

Who notices a decision calls `note`, or `note_on_commit` inside a transaction, and has paid all there is to pay: a
few microseconds and no statement. From there on losing a note is allowed, counting one twice is not:

* `notebook`: what this process noted, bounded; a thread carries it to Redis twice a second.
* `shelf`: what all processes noted, bounded; put there and taken from there in one script each.
* `collecting`: the sweep takes what is on the shelf and stores it, bounded for each trigger.
* `listing`: events and stored decisions as one list.

An event is a decision by itself: `fired` is read from the outbox and never noted.
"""

from triggers.decisions.notebook import flush, note, note_on_commit
from triggers.decisions.verdicts import Verdict

__all__ = ["Verdict", "flush", "note", "note_on_commit"]
