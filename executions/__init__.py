"""The hand: events become runs, runs go step by step, and all of it can be told. `docs/flow.md` follows one event."""
