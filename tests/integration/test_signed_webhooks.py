"""Signed webhooks through the door: what is accepted, what is the same delivery, and that a refusal tells nothing."""

from __future__ import annotations

import json
import logging
from itertools import chain
from typing import Any

import pytest
from django.db import connection

from lightfield.access import keyring
from lightfield.kernel import sql
from tests.concurrency import race
from tests.factories import BY, a_published_workflow
from tests.integration.test_webhook import address_of, assert_problem, post, told
from tests.signing import OTHERS, SECRETS, a_signed_workflow, signed
from tests.unit.test_signatures import flips_of
from triggers import endpoints, outbox, webhook_secrets
from triggers import services as triggers
from triggers.models import OutboxEvent, RecentBody, Trigger, WebhookSecret
from triggers.signatures import PRESETS
from workflows import services
from workflows.models import Workflow

pytestmark = pytest.mark.django_db(transaction=True)

NAMES = [preset.name for preset in PRESETS]
BODY = b'{"id": "evt_1", "event_id": "e-1", "n": 1}'
WITHOUT_ID = b'{"n": 1}'


def deliver(hook: str, name: str, body: bytes = BODY, **given: Any) -> Any:
    headers = signed(name, body, **given)
    return post(hook, body, **headers)


def let_pass(seconds: int) -> None:
    """Bodies that came are so much older."""
    sql.rows(
        "UPDATE triggers_recentbody SET seen_at = seen_at - make_interval(secs => %(s)s)", {"s": seconds}
    )


@pytest.mark.parametrize("name", NAMES)
def test_what_a_sender_signs_is_accepted_and_the_same_again_is_a_duplicate(name, bellboy):
    hook = address_of(a_signed_workflow(name))
    first = deliver(hook, name)

    again = deliver(hook, name)

    assert first.status_code == 202
    assert (again.status_code, told(again)) == (200, {"event_id": told(first)["event_id"], "duplicate": True})
    assert OutboxEvent.objects.get().payload["n"] == 1
    assert bellboy.names() == ["dispatch_shard"]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_badly_signed_is_answered_like_an_unknown_address_and_noted(name, jotter):
    workflow = a_signed_workflow(name)
    hook, trigger = address_of(workflow), workflow.trigger
    unknown = post("/hooks/" + "x" * 43, BODY)
    headers = signed(name, BODY)
    some = next(iter(headers))

    answers = [
        post(hook, BODY),
        deliver(hook, name, secret=OTHERS[name]),
        post(hook, BODY + b" ", **headers),
        post(hook, BODY, **{**headers, some: "nonsense"}),
        post("/hooks/" + "x" * 43, BODY, **headers),
    ]

    assert {answer.status_code for answer in answers} == {404}
    assert {answer.content for answer in answers} == {unknown.content}
    assert {str(answer.headers) for answer in answers} == {str(unknown.headers)}
    assert not OutboxEvent.objects.exists()
    assert [told[:2] for told in jotter.told] == [(trigger.pk, "bad_signature")] * 4
    details = [detail for _, _, detail in jotter.told]
    assert details[:2] == [
        {"source": "webhook", "check": "missing_header"},
        {"source": "webhook", "check": "no_matching_signature"},
    ]


def test_every_flipped_byte_leaves_no_event():
    workflow = a_signed_workflow("standard")
    hook = address_of(workflow)
    headers = signed("standard", BODY)

    statuses = {post(hook, body, **headers).status_code for body in flips_of(BODY)}
    for name, value in headers.items():
        for flipped in flips_of(value.encode()):
            statuses.add(post(hook, BODY, **{**headers, name: flipped.decode("latin-1")}).status_code)

    assert statuses <= {400, 404}  # 400: a body that is no JSON any more
    assert not OutboxEvent.objects.exists()
    assert post(hook, BODY, **headers).status_code == 202


@pytest.mark.parametrize(("seconds", "status"), [(-301, 404), (-299, 202), (299, 202), (302, 404)])
def test_the_databases_clock_judges_the_time(seconds, status):
    hook = address_of(a_signed_workflow("standard"))
    now = sql.row("SELECT extract(epoch FROM clock_timestamp())::float8", {})
    assert now is not None

    assert deliver(hook, "standard", at=now[0] + seconds).status_code == status


def test_unknown_paused_archived_unsigned_and_badly_signed_are_the_same_bytes():
    paused, archived, draft = (a_signed_workflow("github") for _ in range(3))
    services.pause(workflow_id=paused.pk, by=BY)
    services.archive(workflow_id=archived.pk, by=BY)
    addresses = [*map(address_of, (paused, archived)), "/hooks/nobody", address_of(draft) + "x"]
    addresses.append(address_of(a_published_workflow(trigger={"type": "manual"})))

    answers = [deliver(address, "github") for address in addresses]
    answers.append(deliver(address_of(draft), "github", secret=OTHERS["github"]))

    assert len({(answer.status_code, answer.content, str(answer.headers)) for answer in answers}) == 1
    assert_problem(answers[0], 404, "request.not_found")


@pytest.mark.parametrize("body", [b"{", b'{"a":1,"a":2}', b""])
def test_a_body_that_is_no_json_is_told_to_everybody_alike(body):
    hook = address_of(a_signed_workflow("standard"))

    answers = [
        deliver(hook, "standard", body),
        deliver(hook, "standard", body, secret=OTHERS["standard"]),
        deliver("/hooks/nobody", "standard", body),
        post(hook, body),
    ]

    assert len({(answer.status_code, answer.content) for answer in answers}) == 1
    assert answers[0].status_code == 400
    assert not OutboxEvent.objects.exists()


def test_a_signed_webhook_costs_two_statements_and_an_unsigned_one_one(monkeypatch):
    statements: list[str] = []
    run = sql.rows
    unsigned = address_of(a_published_workflow())
    hooks = {name: address_of(a_signed_workflow(name)) for name in NAMES}

    def counted(statement: str, params: Any) -> Any:
        statements.append(statement)
        return run(statement, params)

    def refuse_orm(*_: Any) -> Any:
        raise AssertionError("a statement through the ORM")

    def cost(send: Any) -> tuple[int, int]:
        statements.clear()
        status = send().status_code
        return status, len(statements)

    monkeypatch.setattr(sql, "rows", counted)
    with connection.execute_wrapper(refuse_orm):
        for name, hook in hooks.items():
            assert cost(lambda hook=hook, name=name: deliver(hook, name)) == (202, 2)
            assert cost(lambda hook=hook, name=name: deliver(hook, name, secret=OTHERS[name])) == (404, 1)
            assert cost(lambda hook=hook: post(hook, BODY)) == (404, 1)
        assert cost(lambda: post(unsigned, BODY)) == (202, 1)
        assert cost(lambda: deliver("/hooks/nobody", "stripe")) == (404, 1)


def test_the_look_at_an_address_that_nobody_has_reads_another_ones_rows_and_tells_none_of_them(monkeypatch):
    a_signed_workflow("github")
    found: list[Any] = []
    run = sql.rows

    def kept(statement: str, params: Any) -> Any:
        found.extend(rows := run(statement, params))
        return rows

    monkeypatch.setattr(sql, "rows", kept)

    for nobody in ("0" * 64, "f" * 64):  # below and above every hash
        assert endpoints.look_at(nobody) is None
    assert [(is_known, signing, len(sealed)) for is_known, _, _, signing, _, sealed in found] == [
        (False, "github", 1)
    ] * 2


@pytest.mark.parametrize("live", [0, 1, 2])
def test_as_much_is_decrypted_for_nobody_as_for_an_endpoint(live, monkeypatch):
    workflow = a_signed_workflow("github")
    if live == 2:
        webhook_secrets.add(workflow_id=workflow.pk, by=BY)
    hook = address_of(workflow) if live else "/hooks/nobody"
    opened: list[str] = []
    decrypt = keyring.decrypt

    def counted(ciphertext: str, *, bound_to: str) -> str:
        opened.append(bound_to)
        return decrypt(ciphertext, bound_to=bound_to)

    monkeypatch.setattr(keyring, "decrypt", counted)
    deliver(hook, "github", secret=OTHERS["github"])

    assert len(opened) == 2
    assert opened.count("webhook-secret:nobody") == 2 - live


def test_given_an_unsigned_webhook_then_signatures_are_no_matter_of_its():
    hook = address_of(a_published_workflow())

    assert deliver(hook, "stripe", secret=OTHERS["stripe"]).status_code == 202
    assert deliver(hook, "standard").status_code == 202
    assert OutboxEvent.objects.filter(idempotency_key=None).count() == 2


@pytest.mark.parametrize(
    ("name", "key"), [("standard", "msg_1"), ("svix", "msg_1"), ("stripe", "evt_1"), ("typeform", "e-1")]
)
def test_the_signed_id_is_the_key_whatever_else_is_sent(name, key):
    hook = address_of(a_signed_workflow(name))
    headers = signed(name, BODY)

    statuses = [post(hook, BODY, **headers, **{"Idempotency-Key": other}).status_code for other in "ab"]

    assert statuses == [202, 200]
    assert OutboxEvent.objects.get().idempotency_key == key


def test_another_body_rightly_signed_under_the_same_id_is_a_conflict():
    hook = address_of(a_signed_workflow("standard"))
    deliver(hook, "standard", b'{"n": 1}')

    assert_problem(deliver(hook, "standard", b'{"n": 2}'), 409, "idempotency.body_mismatch")
    assert deliver(hook, "standard", b'{"n": 2}', id="msg_2").status_code == 202


def test_a_long_signed_id_is_kept_as_its_hash():
    hook = address_of(a_signed_workflow("standard"))

    statuses = [deliver(hook, "standard", id="m" * 1000).status_code for _ in range(2)]

    assert statuses == [202, 200]
    assert str(OutboxEvent.objects.get().idempotency_key).startswith("sha256:")


def test_two_deliveries_of_github_with_their_own_bodies_are_two_events():
    hook = address_of(a_signed_workflow("github"))

    for number in range(3):
        assert (
            deliver(hook, "github", json.dumps({"n": number}).encode(), id=f"d-{number}").status_code == 202
        )
    # one delivery id with two bodies is nothing that GitHub does; a key holds both, so nothing is lost
    assert deliver(hook, "github", b'{"n": 9}', id="d-0").status_code == 202
    assert OutboxEvent.objects.count() == 4


@pytest.mark.parametrize("name", ["github", "typeform", "calendly"])
def test_given_a_replay_under_another_unsigned_key_within_ten_minutes_then_the_body_gives_it_away(name):
    hook = address_of(a_signed_workflow(name))
    first = told(deliver(hook, name, WITHOUT_ID, id="d-1"))["event_id"]
    let_pass(590)

    replays = [
        deliver(hook, name, WITHOUT_ID, id="d-2"),
        post(hook, WITHOUT_ID, **signed(name, WITHOUT_ID, id="d-3"), **{"Idempotency-Key": "fresh"}),
        post(hook, WITHOUT_ID, **{k: v for k, v in signed(name, WITHOUT_ID).items() if "delivery" not in k}),
    ]

    assert [(answer.status_code, told(answer)["event_id"]) for answer in replays] == [(200, first)] * 3
    assert OutboxEvent.objects.count() == 1


def test_after_ten_minutes_the_same_body_under_another_key_is_another_event_and_under_its_key_never():
    hook = address_of(a_signed_workflow("github"))
    first = told(deliver(hook, "github", WITHOUT_ID, id="d-1"))["event_id"]
    let_pass(601)

    assert deliver(hook, "github", WITHOUT_ID, id="d-2").status_code == 202
    let_pass(601)
    again = deliver(hook, "github", WITHOUT_ID, id="d-1")

    assert (again.status_code, told(again)["event_id"]) == (200, first)
    # And whoever replays that one meets the event that stands
    replay = deliver(hook, "github", WITHOUT_ID, id="d-3")
    assert (replay.status_code, told(replay)["event_id"]) == (200, first)


def test_given_a_hundred_replays_under_fresh_keys_at_once_then_there_is_one_event():
    hook = address_of(a_signed_workflow("github"))

    def replays(number: int) -> Any:
        answers = [deliver(hook, "github", WITHOUT_ID, id=f"{number}-{n}") for n in range(10)]
        return [(answer.status_code, told(answer)["event_id"]) for answer in answers]

    answers = sorted(chain.from_iterable(race(*(lambda n=n: replays(n) for n in range(10)))))

    event_id = str(OutboxEvent.objects.get().pk)
    assert answers == [(200, event_id)] * 99 + [(202, event_id)]


def test_given_a_key_with_another_body_then_what_was_refused_is_not_remembered():
    hook = address_of(a_signed_workflow("github"))
    key = {"Idempotency-Key": "k"}
    one, other = b'{"n": 1}', b'{"n": 2}'
    post(hook, one, **signed("github", one), **key)

    assert post(hook, other, **signed("github", other), **key).status_code == 409
    assert deliver(hook, "github", other, id="its own").status_code == 202


def test_given_a_body_remembered_without_an_event_then_it_is_forgotten_and_accepted():
    workflow = a_signed_workflow("github")
    hook = address_of(workflow)
    deliver(hook, "github", WITHOUT_ID, id="d-1")
    OutboxEvent.objects.all().delete()

    assert deliver(hook, "github", WITHOUT_ID, id="d-2").status_code == 202
    assert deliver(hook, "github", WITHOUT_ID, id="d-3").status_code == 200


def test_the_sweep_forgets_bodies_that_are_too_old_to_matter():
    hook = address_of(a_signed_workflow("github"))
    deliver(hook, "github", b"1")
    let_pass(601)
    deliver(hook, "github", b"2")

    outbox.forget_bodies()

    assert RecentBody.objects.count() == 1


def test_given_a_repeated_capture_whose_first_reply_was_lost_then_it_is_told_as_new():
    workflow = a_signed_workflow("github")
    given: dict[str, Any] = {
        "token_hash": workflow.trigger.token_hash,
        "event_id": workflow.pk,
        "body": "1",
        "body_digest": b"d" * 32,
        "trace_id": "0" * 32,
        "verified": "github",
        "is_replayable": True,
    }
    for key in (None, "k"):
        for _ in range(2):
            captured = outbox.capture_webhook(**given, idempotency_key=key)
            assert isinstance(captured, outbox.Captured)
            assert not captured.is_duplicate
        OutboxEvent.objects.all().delete()
        RecentBody.objects.all().delete()


def test_given_the_scheme_is_published_anew_between_look_and_capture_then_it_is_judged_again(monkeypatch):
    workflow = a_signed_workflow("github")
    hook = address_of(workflow)
    look = endpoints.look_at

    def published_behind_its_back(token_hash: str) -> Any:
        found = look(token_hash)
        if Trigger.objects.get(workflow=workflow).signing == "github":
            sign_by(workflow, "stripe")
        return found

    monkeypatch.setattr(endpoints, "look_at", published_behind_its_back)

    assert deliver(hook, "github").status_code == 404
    assert not OutboxEvent.objects.exists()
    assert deliver(hook, "stripe").status_code == 202


def test_given_a_way_to_sign_that_only_another_release_knows_then_nothing_is_believed(jotter):
    workflow = a_signed_workflow("github")
    hook = address_of(workflow)
    Trigger.objects.update(signing="of tomorrow")
    WebhookSecret.objects.update(signing="of tomorrow")

    assert (deliver(hook, "github").status_code, post(hook, BODY).status_code) == (404, 404)
    assert [detail["check"] for _, _, detail in jotter.told] == ["no_secret", "missing_header"]


def sign_by(workflow: Workflow, name: str) -> None:
    config = {"signature": {"scheme": name, "secret": SECRETS[name]}}
    services.update_draft(
        workflow_id=workflow.pk, changes={"trigger": {"type": "webhook", "config": config}}, by=BY
    )
    services.publish(workflow_id=workflow.pk, by=BY)


def test_publishing_another_scheme_leaves_the_first_ones_secrets_for_the_way_back():
    workflow = a_signed_workflow("github")
    hook = address_of(workflow)

    sign_by(workflow, "stripe")
    assert (deliver(hook, "stripe").status_code, deliver(hook, "github").status_code) == (202, 404)
    sign_by(workflow, "github")
    assert deliver(hook, "github", b"2").status_code == 202


def test_given_a_secret_whose_encryption_key_is_gone_then_nothing_is_accepted_and_the_log_says_so(
    caplog, jotter
):
    hook = address_of(a_signed_workflow("github"))
    WebhookSecret.objects.update(ciphertext="lf1.gone.AAAA")

    assert deliver(hook, "github").status_code == 404
    assert jotter.told[0][2] == {"source": "webhook", "check": "no_secret"}
    assert "webhook_secret_unreadable" in caplog.text


def test_secrets_and_signatures_are_in_no_log_and_no_table_but_encrypted(caplog):
    with caplog.at_level(logging.DEBUG):
        for name in NAMES:
            workflow = a_signed_workflow(name)
            hook = address_of(workflow)
            sent = signed(name, BODY)
            post(hook, BODY, **sent)
            post(hook, BODY + b" ", **sent)
            webhook_secrets.add(workflow_id=workflow.pk, secret=OTHERS[name], by=BY)
            triggers.rotate_token(workflow_id=workflow.pk, by=BY)
    canaries = [secret.removeprefix("whsec_") for secret in (*SECRETS.values(), *OTHERS.values())]

    everything = caplog.text + "".join(str(record.__dict__) for record in caplog.records) + all_tables()

    assert [canary for canary in canaries if canary in everything] == []
    assert WebhookSecret.objects.count() == 2 * len(NAMES)


def all_tables() -> str:
    """Every row of every table as text."""
    text = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            cursor.execute(f"SELECT row_to_json(t)::text FROM {connection.ops.quote_name(table)} t")
            text += [row[0] for row in cursor.fetchall()]
    return "\n".join(text)


def test_given_the_old_address_in_its_grace_then_both_are_the_endpoint_and_one_key_is_one_event():
    workflow = a_published_workflow()
    old = address_of(workflow)
    triggers.rotate_token(workflow_id=workflow.pk, by=BY, previous_valid_for_seconds=60)
    new = address_of(workflow)

    statuses = [post(hook, **{"Idempotency-Key": "k"}).status_code for hook in (old, new, old)]

    assert old != new
    assert statuses == [202, 200, 200]
    let_graces_end()
    assert (post(old).status_code, post(new).status_code) == (404, 202)


def let_graces_end() -> None:
    sql.rows("UPDATE triggers_trigger SET previous_token_until = clock_timestamp() - interval '1 second'", {})
    sql.rows(
        "UPDATE triggers_webhooksecret SET expires_at = clock_timestamp() - interval '1 second'"
        " WHERE expires_at IS NOT NULL",
        {},
    )


def test_a_rotation_at_once_ends_every_older_address():
    workflow = a_signed_workflow("github")
    first = address_of(workflow)
    triggers.rotate_token(workflow_id=workflow.pk, by=BY, previous_valid_for_seconds=60)
    second = address_of(workflow)

    triggers.rotate_token(workflow_id=workflow.pk, by=BY)

    hooks = (first, second, address_of(workflow))
    assert [deliver(hook, "github").status_code for hook in hooks] == [404, 404, 202]


def test_old_and_new_secret_both_verify_until_the_old_one_ends():
    workflow = a_signed_workflow("standard")
    hook = address_of(workflow)
    webhook_secrets.add(workflow_id=workflow.pk, secret=OTHERS["standard"], by=BY)

    def statuses(number: int) -> list[int]:
        secrets = (SECRETS["standard"], OTHERS["standard"])
        return [
            deliver(hook, "standard", secret=secret, id=f"{number}-{place}").status_code
            for place, secret in enumerate(secrets)
        ]

    assert statuses(1) == [202, 202]
    let_graces_end()
    assert statuses(2) == [404, 202]
