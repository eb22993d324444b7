"""Asking a model: one question, one answer, by whoever is asked in this process."""

from __future__ import annotations

from typing import Protocol

from executions.agents.values import Question, Reply


class Asks(Protocol):
    """Sends at most one request for a question, and returns what came back. Raises `StepError`: `ai.*`, `http.*`, `egress.*`, `secret.*`."""

    def __call__(self, question: Question) -> Reply: ...


_used: Asks | None = None  # instead of the models themselves


def ask(question: Question) -> Reply:
    """Ask the question's model. Raises as `Asks` says."""
    if _used is not None:
        return _used(question)
    from executions.agents.models_asked import ask_model  # seconds to import: see `prepare`

    return ask_model(question)


def prepare() -> None:
    """Import what speaks with models. Seconds of work the first time, which must be part of no step's time."""
    if _used is None:
        from executions.agents import models_asked  # noqa: F401  for what importing it takes


def use(another: Asks | None) -> Asks | None:
    """Ask `another` instead, whatever the question; None: the models again. Returns the one before. For tests."""
    global _used
    before, _used = _used, another
    return before
