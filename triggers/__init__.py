"""The ear: what starts a workflow. Kinds of triggers, whatever makes each of them fire, and the outbox of events.

Start at `kinds` for the ways to start, at `outbox` for what an event is; `records` and `schedules` each have a page in
`docs/`, and `docs/architecture.md` lists the modules.
"""
