"""Half a million forged notes were all sent to the collector, which gave up waiting: the sound ones were lost with them."""

from __future__ import annotations

import pytest
import redis
from django.conf import settings

from tests.factories import a_published_workflow
from triggers.decisions import Verdict, shelf
from triggers.decisions.noted import Note
from triggers.models import Trigger

pytestmark = pytest.mark.django_db(transaction=True)


def test_no_more_notes_are_taken_than_are_kept() -> None:
    trigger = Trigger.objects.get(workflow=a_published_workflow())
    server = redis.Redis.from_url(settings.REDIS_URL)
    shelf.put({(trigger.pk, Verdict.PAUSED): 1}, [Note(trigger.pk, Verdict.PAUSED, "sound", None, 1, 0.0)])
    pipe = server.pipeline()
    for number in range(1_000_000, 1_000_800):
        pipe.lpush(f"{shelf.NOTES}{number}", *["1 1 {}" + "x" * 300] * 400)
        pipe.zadd(shelf.SIZES, {str(number): 400})
    pipe.execute()

    taken = shelf.take()

    assert len(taken.notes) <= shelf.MOST_NOTES
    assert (f"{trigger.pk}:paused".encode(), b"1") in taken.counts  # beside what other tests left
    assert not list(server.scan_iter(f"{shelf.NOTES}*"))
