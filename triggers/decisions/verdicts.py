"""Why something did or did not start a workflow: the words of it."""

from __future__ import annotations

from typing import Final

from django.db import models


class Verdict(models.TextChoices):
    """One answer to "why did it (not) fire?". The first three tell of events; whoever noticed it notes the others.

    Some of those may be told by an event too: the dispatcher ignores one with a code.
    """

    FIRED = "fired", "Fired"  # an event was captured; it has a run, or will have one
    POISON = "poison", "Could not be dispatched"  # its event failed three dispatches; a person tries again
    IGNORED = "ignored", "Ignored"  # its event was let go for a reason that has no verdict here; see its code
    UNCHANGED = "unchanged", "No watched field changed"  # a record changed, in none of the watched fields
    DUPLICATE = "duplicate", "Duplicate"  # its idempotency key came before, with the same body
    KEY_REUSED = "key_reused", "Key used before"  # its idempotency key came before, with another body
    PAUSED = "paused", "Paused"  # the workflow took no events
    NOT_PUBLISHED = "not_published", "Not published"  # the workflow had no version yet
    ARCHIVED = "archived", "Archived"  # the workflow had been archived
    OTHER_KIND = "other_kind", "Starts otherwise"  # a webhook came, and no webhook starts this workflow now
    BAD_SIGNATURE = (
        "bad_signature",
        "Bad signature",
    )  # it was not signed by a live secret; `check` says what failed
    THROTTLED = "throttled", "Throttled"  # too many webhooks at once: refused unread
    MALFORMED = "malformed", "Malformed"  # a webhook whose body or headers cannot be read
    OWN_CHANGE = "own_change", "Own change"  # the workflow itself made the change
    TOO_DEEP = "too_deep", "Too deep"  # too many runs led to it, one after another
    MISSED = "missed", "Missed"  # instants of a schedule passed while nobody could keep them, and were let go
    CLOCK_MOVED = "clock_moved", "Clock moved"  # newer time zone data say another next instant of a schedule


NOTED: Final = frozenset(Verdict) - {Verdict.FIRED, Verdict.POISON, Verdict.IGNORED}

# With which code of the error catalogue the same is told elsewhere: on an ignored event, or in an answer.
CODES: Final[dict[Verdict, str]] = {
    Verdict.ARCHIVED: "workflow.archived",
    Verdict.NOT_PUBLISHED: "workflow.not_published",
    Verdict.KEY_REUSED: "idempotency.body_mismatch",
    Verdict.THROTTLED: "webhook.throttled",
    Verdict.OWN_CHANGE: "trigger.own_change",
    Verdict.TOO_DEEP: "run.depth_exceeded",
}
VERDICTS: Final = {code: verdict for verdict, code in CODES.items()}
