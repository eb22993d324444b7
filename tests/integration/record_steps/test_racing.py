"""Record steps of many runs at the same records: each writes exactly once, and none fails for the others."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import pytest
from django.db import connection, transaction

from crm import services
from crm.models import Account, Contact, Opportunity
from executions import engine
from executions.models import Effect, Run, StepRun
from tests.capturing import told, watching
from tests.concurrency import race, wait_until_blocked
from tests.integration.record_steps.playing import create, play, step_of, update, upsert
from tests.staging import a_run

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]

MANY = 8


def advance_at_once(runs: list[Run]) -> None:
    """Each by a worker of its own, whatever else it is that they do."""
    results = race(*[partial(engine.advance, [str(run.pk)]) for run in runs])
    assert not [result for result in results if isinstance(result, BaseException)]


def outputs() -> list[Any]:
    return list(StepRun.objects.filter(key="it").order_by("pk").values_list("output", flat=True))


def errors() -> list[Any]:
    return list(Run.objects.exclude(status="completed").values_list("status", "error"))


@pytest.mark.parametrize(
    ("entity", "match"),
    [
        ("contact", {"email": "Ada@example.com"}),
        ("account", {"website": "acme.example"}),
        ("account", {"name": "Acme"}),
        ("account", {"website": "acme.example", "name": "Acme"}),
        ("opportunity", {"name": "Deal", "custom.order": "{{ trigger.order }}"}),
    ],
)
@pytest.mark.parametrize("rounds", range(3))
def test_given_many_runs_that_upsert_the_same_new_record_then_one_creates_and_the_others_update_it(
    entity: str, match: dict[str, Any], rounds: int
) -> None:
    watching(entity, "created")
    more = {"name": "Acme"} if entity == "account" else {}
    step = upsert(entity, match, **{"custom.by": "{{ run.id }}", **more})
    runs = [a_run(step, payload={"order": 4711}) for _ in range(MANY)]

    advance_at_once(runs)

    assert errors() == []
    found = outputs()
    assert len({output["id"] for output in found}) == 1
    assert sorted(output["created"] for output in found) == [False] * (MANY - 1) + [True]
    assert told() == ["created"]
    assert Effect.objects.filter(status="done").count() == MANY


def test_given_one_that_is_about_to_create_when_another_looks_then_that_one_waits_and_updates() -> None:
    """Staged: the first has written and not committed."""
    written, go_on = threading.Event(), threading.Event()
    runs = [a_run(upsert("contact", {"email": "ada@example.com"}, title=title)) for title in ("one", "two")]
    insert = services.insert

    def insert_slowly(*args: Any, **kwargs: Any) -> None:
        insert(*args, **kwargs)
        written.set()
        assert go_on.wait(10)

    def second() -> Any:
        assert written.wait(10)
        return engine.advance([str(runs[1].pk)])

    def release() -> None:
        assert written.wait(10)
        wait_until_blocked()
        go_on.set()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(services, "insert", insert_slowly)
        race(lambda: engine.advance([str(runs[0].pk)]), second, release)

    assert errors() == []
    assert [output["created"] for output in outputs()] == [True, False]
    assert Contact.objects.get().title == "two"


def test_given_one_that_created_and_is_undone_then_the_one_who_waited_creates() -> None:
    """By a person, say, who had the same idea and thought better of it."""
    written = threading.Event()
    run = a_run(upsert("contact", {"email": "ada@example.com"}, title="two"))

    def undone() -> None:
        with transaction.atomic():
            Contact.objects.create(email="Ada@example.com", title="one")
            written.set()
            wait_until_blocked()
            transaction.set_rollback(True)

    def upserting() -> None:
        assert written.wait(10)
        engine.advance([str(run.pk)])

    race(undone, upserting)

    assert errors() == []
    assert Contact.objects.get().title == "two"
    assert outputs()[0]["created"] is True


def test_given_many_runs_that_change_one_record_then_every_change_is_in_it_and_their_diffs_chain() -> None:
    deal = Opportunity.objects.create(name="Deal", custom={})
    watching("opportunity", "updated", "custom")
    runs = [a_run(update("opportunity", deal.pk, **{f"custom.n{number}": number})) for number in range(MANY)]

    advance_at_once(runs)

    assert errors() == []
    deal.refresh_from_db()
    assert deal.custom == {f"n{number}": number for number in range(MANY)}
    diffs = sorted((one["custom"] for one in told()), key=lambda one: len(one[1]))
    assert [after for _, after in diffs[:-1]] == [before for before, _ in diffs[1:]]
    assert len(diffs) == MANY


def test_given_many_runs_that_change_two_records_in_either_order_then_none_fails() -> None:
    one, other = (Contact.objects.create(email=f"{name}@example.com") for name in ("one", "other"))
    runs = []
    for number in range(MANY):
        first, second = (one, other) if number % 2 else (other, one)
        runs.append(
            a_run(
                update("contact", first.pk, title="{{ run.id }}"),
                update("contact", second.pk, key="then", title="{{ run.id }}"),
            )
        )

    advance_at_once(runs)

    assert errors() == []


def test_given_many_runs_that_create_with_one_natural_key_then_one_has_it_and_the_others_say_so() -> None:
    runs = [a_run(create("contact", email="ada@example.com")) for _ in range(MANY)]

    advance_at_once(runs)

    assert sorted(code or "" for _, code in Run.objects.values_list("pk", "error_code")) == [""] + [
        "record.duplicate"
    ] * (MANY - 1)
    assert Contact.objects.count() == Effect.objects.count() == 1


def test_given_a_record_that_is_deleted_while_another_refers_to_it_then_the_step_says_so() -> None:
    """PostgreSQL finds out at COMMIT; the step runs again and finds it gone."""
    account = Account.objects.create(name="Acme")
    run = a_run(create("contact", last_name="Lovelace", account=str(account.pk)))
    looked = threading.Event()
    insert = services.insert

    def insert_late(*args: Any, **kwargs: Any) -> None:
        if not looked.is_set():
            looked.set()
            with connection.cursor():
                assert deleted.wait(10)
        insert(*args, **kwargs)

    deleted = threading.Event()

    def delete() -> None:
        assert looked.wait(10)
        Account.objects.filter(pk=account.pk).delete()
        deleted.set()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(services, "insert", insert_late)
        race(lambda: engine.advance([str(run.pk)]), delete)

    run.refresh_from_db()
    assert (run.status, run.error_code) == ("failed", "record.invalid")
    (problem,) = step_of(run).error["metadata"]["problems"]
    assert (problem["pointer"], problem["code"]) == ("/fields/account", "record.not_found")
    assert not Contact.objects.exists()


def test_given_a_person_who_holds_the_record_for_too_long_then_the_step_tries_later() -> None:
    contact = Contact.objects.create(email="ada@example.com")
    run = a_run(update("contact", contact.pk, title="Countess"))
    done = threading.Event()

    def hold() -> None:
        with transaction.atomic():
            Contact.objects.select_for_update().get(pk=contact.pk)
            held.set()
            assert done.wait(10)

    held = threading.Event()

    def advance() -> None:
        assert held.wait(10)
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = 50")
        try:
            engine.advance([str(run.pk)])
        finally:
            done.set()

    race(hold, advance)

    run.refresh_from_db()
    assert (run.status, run.steps.get().error_code) == ("waiting", "step.conflict")


def test_a_run_is_played_to_its_end_although_the_record_is_deleted_behind_it() -> None:
    run = play(create("contact", email="ada@example.com"))
    Contact.objects.all().delete()

    engine.advance([str(run.pk)])

    assert not Contact.objects.exists()
