"""The world: accounts, contacts, opportunities, meetings, tasks and notes. The engine works without it; see `docs/records.md`."""
