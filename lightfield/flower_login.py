"""Flower's `/metrics` behind its login too.

Flower 2.2 asks for its login on every page but `/metrics`, which names workers and tasks. Its `/healthcheck`
says OK and nothing else, and stays open for health checks.
"""

from __future__ import annotations


def install() -> None:
    """In the Flower process only, before it makes its table of addresses use the handler."""
    from flower.views import monitor
    from tornado import web

    monitor.Metrics.get = web.authenticated(monitor.Metrics.get)
