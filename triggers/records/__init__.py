"""Record triggers: a change of a watched model becomes an event in the transaction of the change.

`registration` and `watching` say which models are watched, `writers` and `bulk` stand in every way by which Django writes them, `capture` asks
what changed and for whom, and `statements` is the SQL that turns a change into events. With LIGHTFIELD_CAPTURE=trigger
the same SQL runs in the database (`database`), and writes that pass Django by are seen as well.

Start at `docs/records.md`: it says how a model comes to be watched, what a record trigger promises, and who captures.
"""

from triggers.records.registration import watchable

__all__ = ["watchable"]
