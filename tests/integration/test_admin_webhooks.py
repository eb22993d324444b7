"""The page of a webhook's trigger: address, signature, secrets, and how to set senders up."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from tests.admin_client import a_person
from tests.dom import Dom, dom_of
from tests.factories import a_published_workflow, a_workflow
from tests.integration.test_webhook import address_of, post
from tests.signing import OTHERS, a_signed_workflow, signed
from triggers import webhook_secrets
from triggers.models import Trigger, WebhookSecret
from workflows.models import Workflow

pytestmark = pytest.mark.django_db(transaction=True)

DAY = 24 * 3600
BODY = b'{"n": 1}'


@pytest.fixture
def ada() -> Client:
    return a_person()


def path_of(workflow: Workflow, rest: str = "change/") -> str:
    return f"/admin/triggers/trigger/{workflow.trigger.pk}/{rest}"


def page_of(person: Client, workflow: Workflow) -> Dom:
    answer = person.get(path_of(workflow))
    assert answer.status_code == 200
    return dom_of(answer)


def test_it_shows_the_address_the_scheme_and_what_tells_secrets_apart(ada: Client) -> None:
    workflow = a_signed_workflow("calendly")

    page = page_of(ada, workflow)

    copied = page.one("button", aria_label="Copy the webhook address").attributes["data-copy"]
    assert copied == f"http://testserver{address_of(workflow)}"
    assert "signed as Calendly does" in page.text
    assert "calendly-webhook-signature" in page.text
    assert f"…{WebhookSecret.objects.get().last4}" in page.text
    assert '"preset": "calendly"' in page.text


def test_an_unsigned_webhook_says_so_and_offers_every_sender(ada: Client) -> None:
    page = page_of(ada, a_published_workflow())

    assert "whoever knows the address can start the workflow" in page.text
    assert len(page.all("details", class_="lf-reference")) == 6


def test_a_draft_that_wants_a_signature_gets_its_secret_here_before_it_is_published(ada: Client) -> None:
    config = {"signature": {"scheme": "github"}}
    workflow = a_workflow(trigger={"type": "webhook", "config": config})
    assert "cannot be published signed" in page_of(ada, workflow).text

    ada.post(path_of(workflow, "secrets/"), {"secret": "", "grace": DAY})

    assert WebhookSecret.objects.get().signing == "github"


def test_a_made_secret_is_shown_by_the_page_that_answers_and_by_no_other(ada: Client) -> None:
    workflow = a_signed_workflow("github")

    answer = ada.post(path_of(workflow, "secrets/"), {"secret": "", "grace": DAY})

    secret = dom_of(answer).one("button", aria_label="Copy the secret").attributes["data-copy"]
    assert answer.headers["Cache-Control"].startswith("max-age=0, no-cache, no-store")
    assert post(address_of(workflow), BODY, **signed("github", BODY, secret=secret)).status_code == 202
    for other in (
        path_of(workflow),
        "/admin/access/auditentry/",
        f"/admin/workflows/workflow/{workflow.pk}/change/",
    ):
        assert secret not in ada.get(other).content.decode()
    assert secret not in str(ada.cookies) + str(dict(ada.session))


def test_a_secret_is_replaced_and_the_one_before_ended_by_buttons(ada: Client) -> None:
    workflow = a_signed_workflow("github")
    old = WebhookSecret.objects.get()
    ada.post(path_of(workflow, "secrets/"), {"secret": OTHERS["github"], "grace": DAY})
    assert webhook_secrets.live(workflow.trigger.pk).count() == 2
    assert "there can be no third" in page_of(ada, workflow).text
    assert len(page_of(ada, workflow).all("button", aria_label=f"End the secret …{old.last4}")) == 1

    ada.post(path_of(workflow, f"secrets/{old.pk}/end/"))

    assert post(address_of(workflow), BODY, **signed("github", BODY)).status_code == 404
    assert (
        post(address_of(workflow), BODY, **signed("github", BODY, secret=OTHERS["github"])).status_code == 202
    )


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"secret": "tiny", "grace": DAY}, "16 to 255 characters"),
        ({"secret": "x" * 300, "grace": DAY}, "at most 255 characters"),
        ({"secret": "", "grace": 5}, "times that are offered"),
    ],
)
def test_what_is_refused_is_told_without_the_secret(ada: Client, form: dict[str, Any], words: str) -> None:
    workflow = a_signed_workflow("github")

    answer = ada.post(path_of(workflow, "secrets/"), form, follow=True)

    assert words in dom_of(answer).text
    assert not form["secret"] or form["secret"] not in answer.content.decode()
    assert WebhookSecret.objects.count() == 1


def test_a_third_secret_is_refused_with_what_to_do(ada: Client) -> None:
    workflow = a_signed_workflow("github")
    for _ in range(2):
        answer = ada.post(path_of(workflow, "secrets/"), {"secret": "", "grace": DAY}, follow=True)

    assert "End the older one first" in dom_of(answer).text
    assert webhook_secrets.live(workflow.trigger.pk).count() == 2


def test_the_address_is_renewed_with_a_grace_or_at_once(ada: Client) -> None:
    workflow = a_published_workflow()
    old = address_of(workflow)

    answer = ada.post(path_of(workflow, "rotate/"), {"previous": DAY}, follow=True)
    assert "The address before this one is valid until" in dom_of(answer).text
    assert "can only be given with “not at all”" in dom_of(answer).text
    assert (post(old).status_code, post(address_of(workflow)).status_code) == (202, 202)
    refused = ada.post(path_of(workflow, "rotate/"), {"previous": DAY}, follow=True)
    assert "still valid" in dom_of(refused).text
    ada.post(path_of(workflow, "rotate/"), {"previous": 0})

    assert (post(old).status_code, post(address_of(workflow)).status_code) == (404, 202)


def test_who_may_only_look_sees_neither_address_nor_secrets_and_changes_nothing() -> None:
    workflow = a_signed_workflow("github")
    secret = WebhookSecret.objects.get()
    viewer = a_person("triggers.view_trigger", name="eve")

    page = page_of(viewer, workflow)

    assert "/hooks/" not in page.text
    assert f"…{secret.last4}" not in page.text
    assert not page.all("button", aria_label="Copy the webhook address")
    assert "signed as GitHub does" in page.text
    assert "minutes before or after" not in page.text  # GitHub signs no time
    token = Trigger.objects.get().token_hash
    for path in ("secrets/", f"secrets/{secret.pk}/end/", "rotate/"):
        assert viewer.post(path_of(workflow, path), {"previous": 0, "grace": DAY}).status_code == 403
    assert (Trigger.objects.get().token_hash, WebhookSecret.objects.get().expires_at) == (token, None)


def test_looking_changes_nothing_by_get(ada: Client) -> None:
    workflow = a_signed_workflow("github")
    secret = WebhookSecret.objects.get()

    for path in ("secrets/", f"secrets/{secret.pk}/end/", "rotate/"):
        assert ada.get(path_of(workflow, path)).status_code == 302
    assert WebhookSecret.objects.get().expires_at is None


def test_the_page_of_another_kind_has_none_of_it(ada: Client) -> None:
    page = page_of(ada, a_published_workflow(trigger={"type": "manual"}))

    assert "Set up a sender" not in page.text
