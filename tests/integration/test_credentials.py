"""Secrets in the API: written, never read, bound to hosts, and kept while somebody needs them."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from django.db import connection, transaction

from lightfield.access import credentials, keyring
from lightfield.access.models import AuditEntry, Credential, StoredAnswer
from lightfield.kernel import sql
from lightfield.kernel.errors import RequestRefused
from tests.api_client import ApiCaller, code_of
from tests.concurrency import race
from tests.factories import BY, a_published_workflow, a_workflow
from workflows import services
from workflows.models import Workflow

pytestmark = pytest.mark.django_db(transaction=True)

VALUE = "sk_live_canary_0123456789"
SENT = {"name": "stripe", "value": VALUE, "hosts": ["api.stripe.com"], "description": "Payments"}
PATH = "/credentials"


def a_credential(**parts: Any) -> Credential:
    return credentials.create(sent={**SENT, **parts}, by=BY)


def calling(url: str = "https://api.stripe.com/v1", **config: Any) -> dict[str, Any]:
    auth = {"type": "bearer", "token": "{{ secret.stripe }}"}
    return {
        "key": "pay",
        "type": "http_request",
        "config": {"method": "POST", "url": url, "auth": auth, **config},
    }


def value_of(row: Credential) -> str:
    return credentials.opened([row.name])[row.name].value


def test_a_secret_is_kept_and_no_answer_shows_its_value():
    caller = ApiCaller()

    made = caller.post(PATH, SENT, idempotency_key="k")
    again = caller.post(PATH, SENT, idempotency_key="k")

    assert made.status_code == 201
    assert again.json() == made.json()
    shown = made.json()
    assert {
        name: shown[name] for name in ("name", "hosts", "last4", "description", "used_by", "last_used_at")
    } == {
        "name": "stripe",
        "hosts": ["api.stripe.com"],
        "last4": "6789",
        "description": "Payments",
        "used_by": [],
        "last_used_at": None,
    }
    row = Credential.objects.get()
    assert value_of(row) == VALUE
    listed = caller.get(PATH).json()["results"]
    assert listed == [caller.get(f"{PATH}/{row.pk}").json()]
    kept = keyring.decrypt(
        StoredAnswer.objects.get().body, bound_to=f"stored-answer:{StoredAnswer.objects.get().pk}"
    )
    trail = json.dumps(list(AuditEntry.objects.values("actor", "action", "subject", "metadata")))
    for text in (made.content.decode(), json.dumps(listed), kept, row.ciphertext, trail):
        assert VALUE not in text
        assert "ciphertext" not in text


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"name": "Stripe"}, "/name"), ({"name": "1a"}, "/name"), ({"name": "a" * 41}, "/name"), ({"name": 5}, "/name"),
        ({"value": "short"}, "/value"), ({"value": "x" * 4097}, "/value"), ({"value": f"{VALUE}\n"}, "/value"),
        ({"value": f"{VALUE}\r\nX-Evil: 1"}, "/value"), ({"value": 12345678}, "/value"), ({"value": None}, "/value"),
        ({"hosts": []}, "/hosts"), ({"hosts": "api.stripe.com"}, "/hosts"), ({"hosts": ["ok.example", "*.x.com"]}, "/hosts/1"),
        ({"hosts": [5]}, "/hosts/0"), ({"hosts": ["x.example"] * 21}, "/hosts"),
        ({"description": "x" * 201}, "/description"), ({"hidden": 1}, "/hidden"), ({"last4": "abcd"}, "/last4"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_secret_is_refused_by_its_place_and_never_repeated(wrong, pointer):
    answer = ApiCaller().post(PATH, {**SENT, **wrong})

    assert code_of(answer) == (422, "secret.invalid")
    assert [problem["pointer"] for problem in answer.json()["errors"]] == [pointer]
    assert "canary" not in answer.content.decode()
    assert not Credential.objects.exists()


@pytest.mark.parametrize("body", [[], "x", None, 5])
def test_a_body_that_is_no_object_is_refused(body):
    assert code_of(ApiCaller().post(PATH, body)) in {(422, "secret.invalid"), (400, "payload.invalid_json")}


def test_a_name_is_given_once_also_when_two_ask_at_once():
    caller = ApiCaller()
    answers = race(*[lambda: caller.twin().post(PATH, SENT) for _ in range(4)])

    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    assert code_of(caller.post(PATH, SENT)) == (409, "secret.duplicate")


def test_a_short_value_gives_no_hint():
    assert a_credential(value="x" * 15).last4 == ""


def test_a_new_value_takes_the_place_of_the_old_one():
    row = a_credential()

    answer = ApiCaller().patch(f"{PATH}/{row.pk}", {"value": "sk_live_another_9876543210"})

    assert (answer.status_code, answer.json()["last4"]) == (200, "3210")
    assert value_of(row) == "sk_live_another_9876543210"
    entry = AuditEntry.objects.get(action="credential.changed")
    assert entry.metadata["parts"] == ["value"]
    assert "another" not in json.dumps(entry.metadata)


@pytest.mark.parametrize(
    "changes", [{"hosts": ["api.stripe.com", "evil.example"]}, {"hosts": ["evil.example"]}, {"name": "other"}]
)
def test_whoever_does_not_know_the_value_can_send_it_nowhere_else(changes):
    row = a_credential()
    caller = ApiCaller()

    assert code_of(caller.patch(f"{PATH}/{row.pk}", changes)) == (422, "secret.value_needed")
    assert value_of(row) == VALUE

    assert caller.patch(f"{PATH}/{row.pk}", {**changes, "value": VALUE}).status_code == 200


def test_fewer_hosts_and_other_words_need_no_value():
    row = a_credential(hosts=["a.example", "b.example"])

    answer = ApiCaller().patch(f"{PATH}/{row.pk}", {"hosts": ["b.example"], "description": "Less"})

    assert (answer.json()["hosts"], answer.json()["description"]) == (["b.example"], "Less")
    assert value_of(row) == VALUE


@pytest.mark.parametrize("column", ["hosts", "name", "ciphertext"])
def test_a_row_that_was_changed_in_the_database_no_longer_opens(column):
    row = a_credential()
    other = a_credential(name="other", value="another value of another row")
    changed = {"hosts": ["evil.example"], "name": "renamed", "ciphertext": other.ciphertext}[column]
    Credential.objects.filter(pk=row.pk).update(**{column: changed})

    with pytest.raises(keyring.UnreadableSecret):
        credentials.opened(["renamed" if column == "name" else "stripe"])


def test_a_secret_that_is_used_is_not_deleted_unless_forced():
    row = a_credential()
    workflow = a_published_workflow(name="Payments", steps=[calling()])
    caller = ApiCaller()

    refused = caller.delete(f"{PATH}/{row.pk}")

    assert code_of(refused) == (409, "secret.in_use")
    assert "Payments" in refused.json()["detail"]
    assert caller.get(f"{PATH}/{row.pk}").json()["used_by"] == [
        {"workflow": str(workflow.pk), "name": "Payments"}
    ]
    assert code_of(caller.patch(f"{PATH}/{row.pk}", {"name": "other", "value": VALUE})) == (
        409,
        "secret.in_use",
    )
    assert code_of(caller.delete(f"{PATH}/{row.pk}?force=yes")) == (400, "request.invalid")
    assert code_of(caller.delete(f"{PATH}/{row.pk}?forced=true")) == (400, "request.invalid")
    assert caller.delete(f"{PATH}/{row.pk}?force=true").status_code == 204
    assert not Credential.objects.exists()
    assert AuditEntry.objects.get(action="credential.deleted").metadata["forced"] is True
    assert code_of(caller.delete(f"{PATH}/{row.pk}")) == (404, "request.not_found")


def test_given_the_workflow_is_archived_then_its_secret_is_nobodys():
    row = a_credential()
    workflow = a_published_workflow(steps=[calling()])
    services.archive(workflow_id=workflow.pk, by=BY)

    credentials.delete(credential_id=row.pk, by=BY)

    assert not Credential.objects.exists()


def test_given_a_publish_and_a_delete_at_once_then_no_published_workflow_lacks_its_secret():
    for _ in range(5):
        row = a_credential()
        workflow = a_workflow(steps=[calling()])

        published, deleted = race(
            partial(services.publish, workflow_id=workflow.pk, by=BY),
            partial(credentials.delete, credential_id=row.pk, by=BY),
        )

        is_there = Credential.objects.filter(pk=row.pk).exists()
        is_published = Workflow.objects.get(pk=workflow.pk).active_version_id is not None
        assert is_there == is_published
        refusal = published if isinstance(published, RequestRefused) else deleted
        assert isinstance(refusal, RequestRefused)
        if is_published:
            services.archive(workflow_id=workflow.pk, by=BY)
            credentials.delete(credential_id=row.pk, by=BY)


def test_given_a_publish_that_is_not_through_then_a_delete_waits_for_it():
    """The publish has looked, and its version is not yet there for others to see."""
    row = a_credential()
    has_looked = threading.Event()

    def publish() -> None:
        with transaction.atomic():
            assert credentials.kept_for(["stripe"]) == {"stripe": ["api.stripe.com"]}
            with ThreadPoolExecutor(1) as pool:
                assert pool.submit(is_locked, row).result(), "nobody can take the row meanwhile"
            has_looked.set()

    def delete() -> None:
        assert has_looked.wait(5)
        credentials.delete(credential_id=row.pk, by=BY)

    assert race(publish, delete) == [None, None]
    assert not Credential.objects.exists()


def is_locked(row: Credential) -> bool:
    try:
        with transaction.atomic():
            return not Credential.objects.select_for_update(skip_locked=True).filter(pk=row.pk).exists()
    finally:
        connection.close()


def test_publishing_asks_whether_the_secret_is_there_and_bound_to_the_host():
    workflow = a_workflow(steps=[calling()])
    assert publishing(workflow) == [("/steps/0/config/auth/token", "secret.unknown")]

    a_credential(hosts=["other.example"])
    assert publishing(workflow) == [("/steps/0/config/auth/token", "secret.wrong_host")]


@pytest.mark.parametrize(
    ("url", "is_refused"),
    [
        ("https://api.stripe.com/v1/{{ trigger.id }}", False),
        ("https://api.stripe.com?id={{ trigger.id }}", False),
        ("https://evil.example/{{ trigger.id }}", True),
        ("http://api.stripe.com/v1", True),
        ("https://api.stripe.com:8443/v1", True),
        ("https://{{ trigger.host }}/v1", False),
        ("https://api.stripe.com{{ trigger.rest }}/v1", False),
        ("{{ trigger.url }}", False),
    ],
)
def test_a_host_that_is_known_is_judged_when_published_and_any_other_when_sent(url, is_refused):
    a_credential()
    workflow = a_workflow(steps=[calling(url)])

    assert publishing(workflow) == (
        [("/steps/0/config/auth/token", "secret.wrong_host")] if is_refused else []
    )


def test_a_draft_with_a_secret_in_a_wrong_place_is_not_even_stored():
    answer = ApiCaller().post(
        "/workflows",
        {
            "schema": 1,
            "name": "x",
            "steps": [{"key": "a", "type": "log", "config": {"message": "{{ secret.stripe }}"}}],
        },
    )

    assert code_of(answer) == (422, "config.invalid_definition")
    assert [(one["pointer"], one["code"]) for one in answer.json()["errors"]] == [
        ("/steps/0/config/message", "secret.not_allowed_here")
    ]


def test_when_it_was_used_is_noted_once_a_minute_and_nobody_waits_for_it(django_assert_num_queries):
    row = a_credential()

    credentials.opened(["stripe"])
    first = Credential.objects.get().last_used_at
    credentials.opened(["stripe"])

    assert first is not None
    assert Credential.objects.get().last_used_at == first
    sql.rows("UPDATE access_credential SET last_used_at = clock_timestamp() - interval '61 seconds'", {})
    credentials.opened(["stripe"])
    noted = Credential.objects.get(pk=row.pk).last_used_at
    assert noted is not None
    assert noted > first


def publishing(workflow: Workflow) -> list[tuple[str, str]]:
    try:
        services.publish(workflow_id=workflow.pk, by=BY)
    except RequestRefused as refusal:
        return [(problem.pointer, problem.code) for problem in refusal.problems]
    return []
