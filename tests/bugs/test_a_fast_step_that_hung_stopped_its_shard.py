"""A fast step that never came back kept its whole shard from being dispatched.

One thread of a process drains a shard, and runs the first steps of what it dispatched while it is at it. Whoever rang
for the shard meanwhile, the sweep included, was told that a thread was at it. Of the events of its shard none became
a run before the worker was started again, whatever their workflow.
"""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection

from executions import dispatcher
from executions.models import Run
from tests.bellboy import Bellboy
from tests.factories import a_published_workflow, an_event
from tests.scripted import ScriptedFast, installed
from tests.staging import slow
from workflows.step_types import Completed

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept", "slow_step")]
SHARD = 5


def test_given_a_fast_step_that_hangs_when_its_turn_is_long_over_then_others_take_its_shard(
    bellboy: Bellboy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "LONGEST_SECONDS", 0.0)
    hangs, may_end = threading.Event(), threading.Event()

    def hang(config: Any, context: Any) -> Completed:
        hangs.set()
        assert may_end.wait(20)
        return Completed({})

    def first() -> None:
        try:
            dispatcher.dispatch_shard(SHARD)
        finally:
            connection.close()

    with installed("stuck", ScriptedFast) as stuck:
        stuck.script = hang
        an_event(a_published_workflow(steps=[{"key": "one", "type": "stuck", "config": {}}]), shard=SHARD)
        thread = threading.Thread(target=first)
        thread.start()
        try:
            assert hangs.wait(10)
            other = an_event(a_published_workflow(steps=[slow()]), shard=SHARD)

            assert dispatcher.dispatch_shard(SHARD) == 1

            assert Run.objects.filter(event=other).exists()
        finally:
            may_end.set()
            thread.join(10)
    assert dispatcher.drains._rung_again == {}
