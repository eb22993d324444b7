"""Transactions are known by the words of the product, and one that changed nothing does not count as one."""

from __future__ import annotations

import pytest

from executions import (
    admission,
    cells,
    claims,
    completing,
    dispatcher,
    ending,
    intents,
    renewals,
    services,
    settling,
    sweeper,
)
from tests.chaos.conversation import KINDS, Conversation, kind_of, values_of
from triggers import outbox_statements


def test_each_kind_of_transaction_is_known_by_a_statement_of_the_product() -> None:
    statements = {
        "capture": outbox_statements.CAPTURE_WEBHOOK,
        "dispatch": dispatcher.PICK + dispatcher.DISPATCH,
        "admit": admission.ADMIT,
        "claim": claims.CLAIM,
        "intent": intents.INTENT,
        "renew": renewals.RENEW,
        "settle": settling.SETTLE,
        "sweep": sweeper.QUEUED,
        "settle_effects": sweeper.SETTLE_EFFECTS,
        "late_truth": ending.LATE_TRUTH,
        "end": ending.LOCK_RUN,
        "replay": services.REPLAY,
        "give_up": cells.SUSPECTS,
    }

    assert {kind: kind_of(statement.encode()) for kind, statement in statements.items()} == {
        kind: kind for kind, _ in KINDS
    }
    assert kind_of(completing.COMPLETE.encode()) == "settle"


def message(kind: bytes, body: bytes) -> bytes:
    return kind + (len(body) + 4).to_bytes(4) + body


def spoken(client: bytes, *statements: bytes) -> list[str]:
    """What each of the messages of a transaction commits."""
    talk = Conversation()
    talk.ask(message(b"", b"\0\3\0\0application_name\0" + client + b"\0\0"))
    kinds = [talk.ask(message(b"Q", b"BEGIN\0"))]
    for number, statement in enumerate(statements):
        name = b"s%d" % number
        kinds.append(
            talk.ask(
                message(b"P", name + b"\0" + statement + b"\0\0\0") + message(b"B", b"\0" + name + b"\0")
            )
        )
    return [*kinds, talk.ask(message(b"Q", b"COMMIT\0"))]


@pytest.mark.parametrize(
    ("client", "kind"), [(b"lightfield-web:1", "cancel"), (b"lightfield-worker-fast:1", "timeout")]
)
def test_given_a_run_that_is_ended_then_the_client_tells_a_cancel_from_a_timeout(
    client: bytes, kind: str
) -> None:
    assert spoken(client, ending.LOCK_RUN.encode(), settling.SETTLE.encode())[-1] == kind


def test_given_a_judgement_that_settles_nothing_then_it_is_no_give_up() -> None:
    assert spoken(b"x", cells.SUSPECTS.encode())[-1] == ""
    assert spoken(b"x", cells.SUSPECTS.encode(), settling.SETTLE.encode())[-1] == "give_up"
    assert spoken(b"x", cells.SUSPECTS.encode(), claims.CLAIM.encode())[-1] == "claim"
    assert (
        spoken(b"x", cells.SUSPECTS.encode(), settling.SETTLE.encode(), claims.CLAIM.encode())[-1]
        == "give_up"
    )


ANSWERED = b"Z", b"I"


def answer(tag: bytes, *rows: tuple[bytes | None, ...]) -> bytes:
    """The answer to one statement: its rows and its tag."""
    told = b""
    for row in rows:
        body = len(row).to_bytes(2)
        for value in row:
            body += b"\xff" * 4 if value is None else len(value).to_bytes(4) + value
        told += message(b"D", body)
    return told + message(b"C", tag + b"\0") + message(*ANSWERED)


def has_changed(statement: str, told: bytes, *, commit: bytes | None = None) -> bool:
    """What the harness thinks of a transaction of one statement with this answer."""
    talk = Conversation()
    talk.ask(message(b"", b"\0\3\0\0application_name\0x\0\0"))
    asked = message(b"P", b"s\0" + statement.encode() + b"\0\0\0") + message(b"B", b"\0s\0")
    if commit is not None:
        talk.ask(message(b"Q", b"BEGIN\0"))
        talk.tell(answer(b"BEGIN"))
    talk.ask(asked)
    assert talk.tell(told)
    if commit is not None:
        talk.ask(message(b"Q", b"COMMIT\0"))
        assert talk.tell(answer(commit))
    return talk.has_changed


@pytest.mark.parametrize(
    ("statement", "tag"),
    [
        (admission.ADMIT, b"UPDATE"),
        (claims.CLAIM, b"SELECT"),
        (sweeper.QUEUED, b"UPDATE"),
        (renewals.RENEW, b"UPDATE"),
        (intents.INTENT, b"SELECT"),
        (services.REPLAY, b"SELECT"),
    ],
    ids=["admit", "claim", "sweep", "renew", "intent", "replay"],
)
@pytest.mark.parametrize("commit", [None, b"COMMIT"], ids=["by itself", "in a transaction"])
def test_given_a_statement_that_found_nothing_then_its_transaction_does_not_count(
    statement: str, tag: bytes, commit: bytes | None
) -> None:
    assert has_changed(statement, answer(tag + b" 2"), commit=commit)
    assert not has_changed(statement, answer(tag + b" 0"), commit=commit)


def test_given_a_transaction_that_had_failed_when_it_is_committed_then_it_does_not_count() -> None:
    assert not has_changed(claims.CLAIM, answer(b"SELECT 2"), commit=b"ROLLBACK")


def test_given_an_error_then_nothing_has_changed() -> None:
    assert not has_changed(settling.SETTLE, message(b"E", b"SERROR\0\0") + message(*ANSWERED))


@pytest.mark.parametrize("commit", [None, b"COMMIT"], ids=["by itself", "in a transaction"])
def test_given_a_statement_that_always_answers_then_its_row_tells_whether_anything_changed(
    commit: bytes | None,
) -> None:
    dispatch = dispatcher.PICK + dispatcher.DISPATCH

    assert has_changed(dispatch, answer(b"SELECT 1", (b"3", b"2", b"{}", b"{}")), commit=commit)
    assert not has_changed(dispatch, answer(b"SELECT 1", (b"3", b"0", b"{}", b"{}")), commit=commit)
    assert has_changed(
        outbox_statements.CAPTURE_WEBHOOK, answer(b"SELECT 1", (b"1", b"7", b"uuid", None)), commit=commit
    )
    assert not has_changed(
        outbox_statements.CAPTURE_WEBHOOK, answer(b"SELECT 1", (b"1", b"7", None, b"paused")), commit=commit
    )


def test_given_other_statements_in_the_transaction_then_they_do_not_count_for_it() -> None:
    talk = Conversation()
    talk.ask(message(b"", b"\0\3\0\0application_name\0x\0\0"))
    asked = [admission.LOCK_LANE, admission.ADMIT, "SELECT 1"]
    talk.ask(message(b"Q", b"BEGIN\0"))
    talk.tell(answer(b"BEGIN"))
    for statement, tag in zip(asked, (b"SELECT 1", b"UPDATE 0", b"SELECT 1"), strict=True):
        talk.ask(message(b"P", b"s\0" + statement.encode() + b"\0\0\0") + message(b"B", b"\0s\0"))
        talk.tell(answer(tag))

    assert talk.ask(message(b"Q", b"COMMIT\0")) == "admit"
    talk.tell(answer(b"COMMIT"))
    assert not talk.has_changed


def test_given_a_transaction_that_begins_with_its_first_statement_then_the_one_that_counts_tells() -> None:
    talk = Conversation()
    talk.ask(message(b"", b"\0\3\0\0application_name\0x\0\0"))

    assert talk.ask(message(b"Q", b"BEGIN; SELECT 1 FOR UPDATE\0")) == ""
    assert talk.tell(message(b"C", b"BEGIN\0") + answer(b"SELECT 1"))
    talk.ask(message(b"P", b"s\0" + admission.ADMIT.encode() + b"\0\0\0") + message(b"B", b"\0s\0"))
    talk.tell(answer(b"UPDATE 0"))

    assert talk.ask(message(b"Q", b"COMMIT\0")) == "admit"
    talk.tell(answer(b"COMMIT"))
    assert not talk.has_changed


def test_a_row_is_read_as_far_as_it_is_looked_at() -> None:
    assert values_of(b"\0\2" + b"\0\0\0\1a" + b"\xff\xff\xff\xff") == [b"a", None]
