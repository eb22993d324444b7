"""A sweep's message expired after a second. With more than a second of work waiting in its queue every sweep was thrown
away, and a step that had lost its worker stayed lost for up to three minutes: 727 of 1,200 in a soak on a busy machine."""

from __future__ import annotations

from lightfield.celery import app
from lightfield.kernel import bells

LONGEST_BACKLOG_SECONDS = 30  # as for every other message: by then the sweeper has rung again


def test_a_sweep_waits_as_long_as_any_other_bell() -> None:
    entry = app.conf.beat_schedule["lightfield: sweep"]

    assert entry["options"]["expire_seconds"] >= LONGEST_BACKLOG_SECONDS
    assert bells.EXPIRES_SECONDS == LONGEST_BACKLOG_SECONDS
