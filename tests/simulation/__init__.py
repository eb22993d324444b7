"""A simulator: the engine's own code over rows in memory, driven by an adversary from a seed.

The product runs as it is, down to the statement: `sql.rows` is answered by `store.Store`, which does in Python what
each statement does in PostgreSQL (`test_agrees_with_postgresql` holds the two against each other). Where a process
would wait for the database, the far side or the clock, it stops, and the adversary says what happens next.
"""
