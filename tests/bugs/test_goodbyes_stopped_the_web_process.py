"""A sender that did not hang up after its last answer stopped a web process for two seconds.

gunicorn waits for that, so that the answer is not cut off, in the thread that all connections depend on.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from tests.factories import a_published_workflow
from tests.gunicorns import a_gunicorn, read_all
from triggers import services as triggers
from triggers.models import Trigger

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

MANY = 80  # two seconds for each would be longer than anybody waits


def test_given_senders_that_do_not_hang_up_after_their_last_answer_then_others_are_served(tmp_path: Path):
    hook = triggers.webhook_path(Trigger.objects.get(workflow=a_published_workflow()))
    with a_gunicorn(tmp_path) as server, contextlib.ExitStack() as stack:
        senders = [stack.enter_context(server.connect()) for _ in range(MANY)]
        for sender in senders:
            sender.sendall(b"nonsense\r\n\r\n")

        assert server.post(hook).status_code == 202
        # And the answers arrive whole, also when more is sent meanwhile
        for sender in senders:
            with contextlib.suppress(OSError):
                sender.sendall(b"more of it")
            assert b"request.malformed" in read_all(sender)
