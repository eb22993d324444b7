"""Secrets of signed webhooks: written with a draft or by the API, shown once, replaced without losing a request."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from lightfield.access import keyring
from lightfield.access.models import AuditEntry
from lightfield.kernel.errors import RequestRefused
from tests.api_client import ApiCaller, code_of
from tests.concurrency import race
from tests.factories import BY, a_definition, a_published_workflow, a_workflow
from tests.integration.test_webhook import address_of, post
from tests.signing import OTHERS, SECRETS, a_signed_workflow, signed
from triggers import services as triggers
from triggers import webhook_secrets
from triggers.models import Trigger, WebhookSecret
from triggers.signatures import PRESETS
from workflows import services
from workflows.models import Workflow, WorkflowVersion

pytestmark = pytest.mark.django_db(transaction=True)

STRIPE = {"scheme": "stripe", "secret": SECRETS["stripe"]}


def a_webhook(signature: Any) -> dict[str, Any]:
    return {"type": "webhook", "config": {"signature": signature}}


@pytest.fixture
def api() -> ApiCaller:
    return ApiCaller()


def path_of(workflow: Workflow, rest: str = "") -> str:
    return f"/workflows/{workflow.pk}/webhook-secrets{rest}"


def problem_of(answer: Any) -> tuple[int, str, str]:
    [problem] = answer.json()["errors"]
    return answer.status_code, problem["pointer"], problem["code"]


def test_a_secret_comes_with_a_draft_and_is_read_back_as_its_last_four(api):
    created = api.post("/workflows", a_definition(trigger=a_webhook(STRIPE))).json()

    shown = api.get(f"/workflows/{created['id']}").json()["trigger"]["config"]["signature"]

    [secret] = shown.pop("secrets")
    assert shown == {"scheme": "stripe"}
    row = WebhookSecret.objects.get()
    assert secret == {"id": str(row.pk), "last4": SECRETS["stripe"][-4:], "expires_at": None}
    assert created["trigger"]["config"]["signature"]["secrets"] == [secret]
    assert Workflow.objects.get().draft["trigger"]["config"] == {"signature": {"scheme": "stripe"}}
    assert api.post(f"/workflows/{created['id']}/publish").status_code == 201
    assert SECRETS["stripe"] not in str(WorkflowVersion.objects.get().definition)


def test_what_was_read_can_be_sent_back_and_changes_nothing(api):
    workflow = a_signed_workflow("stripe")
    read = api.get(f"/workflows/{workflow.pk}").json()["trigger"]

    answer = api.patch(f"/workflows/{workflow.pk}", {"trigger": read})
    again = api.patch(f"/workflows/{workflow.pk}", {"trigger": a_webhook(STRIPE)})  # the secret that is live

    assert answer.json()["trigger"] == again.json()["trigger"] == read
    assert WebhookSecret.objects.count() == 1


@pytest.mark.parametrize(("scope", "sees"), [("viewer", False), ("operator", False), ("builder", True)])
def test_who_may_not_change_the_address_sees_nothing_of_its_secrets(scope, sees):
    workflow = a_signed_workflow()
    caller = ApiCaller(scope)

    signature = caller.get(f"/workflows/{workflow.pk}").json()["trigger"]["config"]["signature"]

    assert ("secrets" in signature) is sees
    assert caller.get(path_of(workflow)).status_code == (200 if sees else 403)


def test_another_secret_in_a_draft_replaces_the_first_which_ends_a_day_later(api):
    workflow = a_signed_workflow("github")

    answer = api.patch(
        f"/workflows/{workflow.pk}",
        {"trigger": a_webhook({"scheme": "github", "secret": OTHERS["github"]})},
    )

    new, old = answer.json()["trigger"]["config"]["signature"]["secrets"]
    assert (new["last4"], new["expires_at"]) == (OTHERS["github"][-4:], None)
    ends = WebhookSecret.objects.get(pk=old["id"]).expires_at
    assert ends is not None
    assert timedelta(hours=23, minutes=59) < ends - timezone.now() < timedelta(hours=24, minutes=1)


@pytest.mark.parametrize(
    "signature",
    [
        {"scheme": "standard", "secret": "whsec_xyz"},
        {"scheme": "standard", "secret": 5},
        {"scheme": "stripe", "secret": "sk_live_0123456789abcdef"},
        {"scheme": "github", "secret": "short"},
        {"scheme": "none", "secret": SECRETS["github"]},
        {"secret": SECRETS["github"]},
        {"scheme": "github", "preset": "stripe", "secret": SECRETS["github"]},
    ],
)
def test_what_cannot_be_a_secret_is_refused_at_its_place_and_kept_nowhere(api, signature):
    answer = api.post("/workflows", a_definition(trigger=a_webhook(signature)))

    assert problem_of(answer) == (422, "/trigger/config/signature/secret", "config.invalid_secret")
    assert str(signature["secret"]).encode() not in answer.content
    assert not WebhookSecret.objects.exists()


def test_a_scheme_without_a_live_secret_is_not_published_until_one_is_made(api):
    workflow = a_workflow(trigger=a_webhook({"scheme": "standard"}))

    refused = api.post(f"/workflows/{workflow.pk}/publish")
    made = api.post(path_of(workflow))

    assert problem_of(refused) == (422, "/trigger/config/signature/secret", "config.missing_secret")
    assert made.status_code == 201
    assert made.json()["secret"].startswith("whsec_")
    assert api.post(f"/workflows/{workflow.pk}/publish").status_code == 201
    body = b'{"n": 1}'
    headers = signed("standard", body, secret=made.json()["secret"])
    assert post(address_of(workflow), body, **headers).status_code == 202


def test_a_preset_that_does_not_fit_its_scheme_is_not_published(api):
    workflow = a_workflow(trigger=a_webhook({"scheme": "stripe", "preset": "github"}))

    answer = api.post(f"/workflows/{workflow.pk}/publish")

    assert problem_of(answer) == (422, "/trigger/config/signature/preset", "config.invalid")
    assert "calendly" in answer.json()["errors"][0]["detail"]


def test_a_secret_is_in_the_answer_to_its_making_and_nowhere_else(api):
    workflow = a_workflow(trigger=a_webhook({"scheme": "github"}))

    made = api.post(path_of(workflow)).json()

    listed = api.get(path_of(workflow))
    assert listed.json()["results"] == [{name: made[name] for name in made if name != "secret"}]
    assert set(made) == {"id", "last4", "preset", "created_at", "expires_at", "secret"}
    assert made["last4"] == made["secret"][-4:]
    for answer in (listed, api.get(f"/workflows/{workflow.pk}"), api.get("/workflows")):
        assert made["secret"] not in answer.content.decode()
    assert made["secret"] not in str(list(AuditEntry.objects.values()))


def test_a_repeated_making_under_one_key_makes_one(api):
    workflow = a_workflow(trigger=a_webhook({"scheme": "github"}))

    answers = [api.post(path_of(workflow), idempotency_key="k").json() for _ in range(2)]

    assert answers[0] == answers[1]
    assert WebhookSecret.objects.count() == 1


def test_a_third_secret_is_refused_while_two_are_live_unless_all_others_end_at_once(api):
    workflow = a_signed_workflow("github")
    api.post(path_of(workflow))

    refused = api.post(path_of(workflow))
    by_draft = api.patch(
        f"/workflows/{workflow.pk}",
        {"trigger": a_webhook({"scheme": "github", "secret": OTHERS["github"]})},
    )
    at_once = api.post(path_of(workflow), {"expires_previous_in_seconds": 0})

    assert code_of(refused) == (409, "rotation.in_progress")
    assert problem_of(by_draft) == (422, "/trigger/config/signature/secret", "rotation.in_progress")
    assert at_once.status_code == 201
    assert [row["id"] for row in api.get(path_of(workflow)).json()["results"]] == [at_once.json()["id"]]


def test_an_ended_secret_verifies_nothing_from_then_on(api):
    workflow = a_signed_workflow("github")
    hook, body = address_of(workflow), b'{"n": 1}'
    [row] = api.get(path_of(workflow)).json()["results"]

    statuses = [api.delete(path_of(workflow, f"/{row['id']}")).status_code for _ in range(2)]

    assert statuses == [204, 204]
    assert post(hook, body, **signed("github", body)).status_code == 404
    assert api.get(path_of(workflow)).json()["results"] == []
    assert AuditEntry.objects.filter(action="webhook_secret.ended").count() == 1


def test_a_secret_of_another_workflow_is_not_found(api):
    one, other = a_signed_workflow("github"), a_signed_workflow("github")
    secret = WebhookSecret.objects.get(trigger__workflow=other)

    assert code_of(api.delete(path_of(one, f"/{secret.pk}"))) == (404, "request.not_found")
    assert webhook_secrets.live(other.trigger.pk).count() == 1


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"expires_previous_in_seconds": -1}, "/expires_previous_in_seconds"),
        ({"expires_previous_in_seconds": 31 * 86_400}, "/expires_previous_in_seconds"),
        ({"expires_previous_in_seconds": "5"}, "/expires_previous_in_seconds"),
        ({"secret": 5}, "/secret"),
        ({"colour": "red"}, "/colour"),
    ],
)
def test_what_is_asked_for_is_judged_strictly(api, body, pointer):
    workflow = a_signed_workflow("github")

    assert problem_of(api.post(path_of(workflow), body)) == (400, pointer, "request.invalid")
    assert api.post(path_of(workflow), b"[]").status_code == 400


def test_a_webhook_without_a_scheme_needs_no_secret(api):
    assert code_of(api.post(path_of(a_published_workflow()))) == (409, "secret.no_scheme")
    assert code_of(api.post(path_of(a_workflow(trigger=None)))) == (409, "secret.no_scheme")


def test_an_archived_workflow_takes_no_secret_but_its_own_can_be_ended(api):
    workflow = a_signed_workflow("github")
    services.archive(workflow_id=workflow.pk, by=BY)
    secret = WebhookSecret.objects.get()

    assert code_of(api.post(path_of(workflow))) == (409, "workflow.illegal_transition")
    assert api.delete(path_of(workflow, f"/{secret.pk}")).status_code == 204


def test_a_ciphertext_that_is_moved_to_another_row_opens_nothing():
    one, other = a_signed_workflow("github"), a_signed_workflow("github", secret=OTHERS["github"])
    stolen = WebhookSecret.objects.get(trigger__workflow=one).ciphertext
    WebhookSecret.objects.filter(trigger__workflow=other).update(ciphertext=stolen)

    assert webhook_secrets.opened(webhook_secrets.live(other.trigger.pk)) == []


def test_given_a_new_encryption_key_in_front_then_older_secrets_verify_and_new_ones_use_it(settings):
    workflow = a_signed_workflow("github")
    hook, body = address_of(workflow), b'{"n": 1}'
    old = settings.LIGHTFIELD_ENCRYPTION_KEYS
    settings.LIGHTFIELD_ENCRYPTION_KEYS = f"new:{'A' * 43}=,{old}"

    assert post(hook, body, **signed("github", body)).status_code == 202
    row = webhook_secrets.add(workflow_id=workflow.pk, secret=OTHERS["github"], by=BY).row
    assert row.ciphertext.startswith(f"{keyring.PREFIX}.new.")
    other = b'{"n": 2}'
    assert post(hook, other, **signed("github", other, secret=OTHERS["github"])).status_code == 202


def test_given_two_rotations_at_once_then_one_is_made_and_the_other_is_told():
    workflow = a_signed_workflow("github")

    def rotate() -> Any:
        return webhook_secrets.add(workflow_id=workflow.pk, by=BY)

    results = race(rotate, rotate)

    [refusal] = [result for result in results if isinstance(result, RequestRefused)]
    assert refusal.code == "rotation.in_progress"
    assert webhook_secrets.live(workflow.trigger.pk).count() == 2
    assert [row.expires_at is None for row in webhook_secrets.live(workflow.trigger.pk)] == [True, False]


def test_given_two_rotations_of_the_address_at_once_then_the_one_before_stays_valid():
    workflow = a_published_workflow()
    old = address_of(workflow)

    def rotate() -> Any:
        return triggers.rotate_token(workflow_id=workflow.pk, by=BY, previous_valid_for_seconds=60)

    results = race(rotate, rotate)

    [refusal] = [result for result in results if isinstance(result, RequestRefused)]
    assert refusal.code == "rotation.in_progress"
    assert [post(hook).status_code for hook in (old, address_of(workflow))] == [202, 202]


def test_an_address_is_rotated_with_a_grace_by_the_api(api):
    workflow = a_published_workflow()
    old = address_of(workflow)
    assert api.get(f"/workflows/{workflow.pk}").json()["previous_webhook_url_until"] is None

    answer = api.post(f"/workflows/{workflow.pk}/rotate-token", {"previous_valid_for_seconds": 3600})

    assert answer.status_code == 200
    assert answer.json()["webhook_url"] != old
    assert answer.json()["previous_webhook_url_until"] is not None
    assert post(old).status_code == 202
    again = api.post(f"/workflows/{workflow.pk}/rotate-token", {"previous_valid_for_seconds": 3600})
    assert code_of(again) == (409, "rotation.in_progress")
    leaked = api.post(f"/workflows/{workflow.pk}/rotate-token")
    assert leaked.json()["previous_webhook_url_until"] is None
    assert [post(old).status_code, post(answer.json()["webhook_url"]).status_code] == [404, 404]
    assert post(leaked.json()["webhook_url"]).status_code == 202


def test_the_presets_are_listed_with_what_a_person_needs(api):
    listed = api.get("/webhook-presets").json()["results"]

    assert [preset["name"] for preset in listed] == sorted(preset.name for preset in PRESETS)
    stripe = next(preset for preset in listed if preset["name"] == "calendly")
    assert stripe["signature"] == {"scheme": "stripe", "preset": "calendly"}
    assert stripe["headers"] == ["calendly-webhook-signature"]
    assert all(preset["steps"] and preset["sample"] and preset["label"] for preset in listed)


def test_which_check_failed_is_told_to_those_who_may_change_the_address(jotter):
    workflow = a_signed_workflow("github")
    post(address_of(workflow), b"{}")
    note = jotter.notes[0]
    store(workflow, note.detail)

    def shown_to(scope: str) -> dict[str, Any]:
        [decision] = ApiCaller(scope).get(f"/workflows/{workflow.pk}/decisions").json()["results"]
        assert decision["verdict"] == "bad_signature"
        detail: dict[str, Any] = decision["detail"]
        return detail

    assert shown_to("builder") == {"check": "missing_header"}
    assert shown_to("operator") == shown_to("viewer") == {}


def store(workflow: Workflow, detail: Any) -> None:
    """A decision, as the collector stores it."""
    Trigger.objects.get(workflow=workflow).decisions.create(
        at=timezone.now(), verdict="bad_signature", detail=detail
    )
