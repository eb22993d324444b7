"""When a schedule is due: from its config to instants in UTC. Pure: no database, and no clock of its own.

`config` reads and judges what people write, `zones` knows the clocks, `instants` computes, `catching_up` decides
what to do about instants that went by, `preview` shows the next ones. Rules and examples: `docs/schedules.md`.
"""
