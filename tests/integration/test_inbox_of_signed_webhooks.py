"""Signatures, addresses in their grace and replays: one request, one delivery, and at most one decision."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from executions.verifying import running
from tests.factories import BY, a_published_workflow
from tests.integration.test_signed_webhooks import let_graces_end
from tests.integration.test_webhook import address_of, post
from tests.signing import OTHERS, SECRETS, a_signed_workflow, signed
from triggers import services as triggers
from triggers import webhook_secrets
from triggers.deliveries.models import Delivery, UnmatchedDay
from triggers.models import WebhookSecret
from triggers.signatures import PRESETS

pytestmark = pytest.mark.django_db(transaction=True)

NAMES = [preset.name for preset in PRESETS]
BODY = b'{"id": "evt_1", "event_id": "e-1", "n": 1}'


def the_new_one(known: set[Any], inbox: Any) -> Delivery:
    """The only delivery that is not among `known`."""
    inbox.flush()
    (found,) = Delivery.objects.exclude(pk__in=known)
    known.add(found.pk)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_each_request_leaves_one_delivery_and_each_refusal_one_decision(name, inbox, jotter):
    workflow = a_signed_workflow(name)
    hook, trigger = address_of(workflow), workflow.trigger
    right, known = signed(name, BODY), set[Any]()
    signature = next(key for key in right if "signature" in key)
    other_id = b'{"id": "evt_1", "event_id": "e-1", "n": 2}'
    requests = [
        (BODY, right, "accepted", 202, None),
        (BODY, right, "duplicate", 200, None),
        (BODY, {}, "bad_signature", 404, "missing_header"),
        (BODY, signed(name, BODY, secret=OTHERS[name]), "bad_signature", 404, "no_matching_signature"),
        (BODY, {**right, signature: "nonsense"}, "bad_signature", 404, None),
        (b"{", signed(name, b"{"), "malformed", 400, None),
        (b"{", right, "malformed", 400, None),
    ]
    if name in ("standard", "svix", "stripe"):
        requests += [(other_id, signed(name, other_id), "body_mismatch", 409, None)]
        late = signed(name, BODY, at=1_000_000_000)
        requests += [(BODY, late, "bad_signature", 404, "timestamp_outside_tolerance")]
    if name in ("standard", "svix"):
        many = {**right, signature: " ".join([right[signature]] * 9)}
        requests += [(BODY, many, "bad_signature", 404, "too_many_signatures")]
    if name == "github":
        requests += [(BODY, signed(name, BODY, id="fresh"), "duplicate", 200, None)]

    for body, headers, verdict, status, check in requests:
        assert post(hook, body, **headers).status_code == status
        delivery = the_new_one(known, inbox)
        assert (delivery.verdict, delivery.answer, delivery.trigger_id) == (verdict, status, trigger.pk)
        assert bytes(delivery.digest or b"") == hashlib.sha256(body).digest()
        assert check is None or delivery.detail == {"check": check}
        assert (delivery.event_id is not None) == (verdict in ("accepted", "duplicate", "body_mismatch"))

    WebhookSecret.objects.all().delete()
    post(hook, BODY, **right)
    assert the_new_one(known, inbox).detail == {"check": "no_secret"}
    decided = [verdict.replace("body_mismatch", "key_reused") for *_, verdict, _, _ in requests[1:]]
    assert {of for of, _, _ in jotter.told} == {trigger.pk}
    assert sorted(verdict for _, verdict, _ in jotter.told) == sorted([*decided, "bad_signature"])
    assert [one.invariant.name for one in running.verify() if one.broken] == []


def test_the_old_address_is_its_workflows_while_it_is_valid_and_afterwards_nobodys(inbox, jotter):
    workflow = a_published_workflow()
    old, known = address_of(workflow), set[Any]()
    triggers.rotate_token(workflow_id=workflow.pk, by=BY, previous_valid_for_seconds=60)
    new = address_of(workflow)

    for hook, body, verdict in [(old, b"1", "accepted"), (new, b"2", "accepted"), (old, b"{", "malformed")]:
        post(hook, body)
        delivery = the_new_one(known, inbox)
        assert (delivery.verdict, delivery.workflow_id) == (verdict, workflow.pk)
    let_graces_end()
    post(old)
    post(old, b"{")
    inbox.flush()

    assert Delivery.objects.count() == 3
    assert UnmatchedDay.objects.get().count == 2
    assert [verdict for _, verdict, _ in jotter.told] == ["malformed"]


def test_no_secret_of_a_signed_webhook_is_in_the_inbox(inbox):
    for name in NAMES:
        workflow = a_signed_workflow(name)
        hook = address_of(workflow)
        token = hook.removeprefix("/hooks/")
        webhook_secrets.add(workflow_id=workflow.pk, secret=OTHERS[name], by=BY)
        right = signed(name, BODY)
        for body in (BODY, BODY, BODY + b" "):
            post(hook, body, **right)
        inbox.flush()
        stored = str(list(Delivery.objects.filter(workflow=workflow).values()))

        assert Delivery.objects.filter(workflow=workflow).count() == 3
        signature = next(value for key, value in right.items() if "signature" in key)
        assert [one for one in (token, signature, SECRETS[name], OTHERS[name]) if one in stored] == []
