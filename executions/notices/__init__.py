"""Who is told when runs fail: notices captured with the failure, gathered into messages, sent with retries.

A notice says that a failed run is to be told by one channel. It is written by the statement that fails the run
(`capture`). `gathering` makes one message of all open notices of a version and channel, at most one in
`every_seconds`; `outgoing` takes messages under a lease and sends them (`webhook`, `email`). `streaks` counts how
many runs failed in a row, and pauses a workflow that asked for it.
"""
