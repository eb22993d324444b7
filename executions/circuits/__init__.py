"""Hosts that fail for many runs: held back, probed, and given their requests back little by little.

What a process sees of its own requests is counted in `executions.egress.breaker`. What the installation knows stands in
rows (`models`, `rows`); the sweep moves it on (`pacing` decides, `releasing` writes). Why: docs/adr/0020.
"""
