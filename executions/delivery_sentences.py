"""Deliveries in plain words. Pure."""

from __future__ import annotations

from typing import Final

from triggers.deliveries.models import Delivery, DeliveryVerdict

_WORDS: Final[dict[str, str]] = {
    DeliveryVerdict.ACCEPTED: "It was accepted and became an event.",
    DeliveryVerdict.DUPLICATE: "Its idempotency key had come before with the same body: it was answered with the first "
    "event, and nothing started twice.",
    DeliveryVerdict.BODY_MISMATCH: "Its idempotency key had come before with another body, which stays as it was.",
    DeliveryVerdict.BAD_SIGNATURE: "Its signature was not accepted.",
    DeliveryVerdict.THROTTLED: "Too many came at once: the sender was told when to come again.",
    DeliveryVerdict.MALFORMED: "It could not be read.",
    DeliveryVerdict.PAUSED: "The workflow was paused.",
    DeliveryVerdict.NOT_PUBLISHED: "The workflow had no version yet.",
    DeliveryVerdict.ARCHIVED: "The workflow is archived and takes nothing any more.",
    DeliveryVerdict.OTHER_KIND: "The published version is not started by a webhook.",
}


def sentence_of(delivery: Delivery) -> str:
    if delivery.is_test:
        return "A person sent an earlier delivery again, as a test of the draft. The test is a real run."
    words = _WORDS.get(delivery.verdict, "")
    if delivery.count > 1:
        return f"{words} {delivery.count:,} requests of this minute are counted here."
    return words
