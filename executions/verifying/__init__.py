"""What must be true of the rows at every moment, as queries, and the running of them.

Doors: `running.verify` for everything, in a snapshot of its own. The invariants are grouped by what they speak
of: `captures`, `events`, `deliveries`, `runs`, `steps`, `attempts`, `effects`, `stories` (timelines), `versions`, `sealed` (secrets). Read-only throughout.
"""
