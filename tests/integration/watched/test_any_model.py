"""Models of every shape: one event per real change, whoever captures. The payload's own form is in `test_every_field`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
from django.contrib.auth.models import User
from django.db.models import F, Value
from django.db.models.functions import Concat

from tests.capturing import told, watching
from tests.watched_app.models import (
    Branch,
    Chain,
    Country,
    Device,
    Elsewhere,
    Firm,
    Hotel,
    Hour,
    Invoice,
    Letter,
    Odd,
    Paper,
    PaperByTitle,
    Place,
    Profile,
    Reading,
    Restaurant,
    Safe,
    Story,
    Wide,
)
from triggers.models import OutboxEvent, UncapturedWrite

CREATED = "created"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Case(NamedTuple):
    entity: str
    do: Callable[[], Any]
    expected: list[Any]


def changed(instance: Any, **values: Any) -> Any:
    for name, value in values.items():
        setattr(instance, name, value)
    return instance


def saved(model: Any, key: dict[str, Any], **values: Any) -> None:
    """Make one, change it, save it again as it is, and change it by a queryset: three events."""
    before = {name: value for name, (value, _, _) in values.items()}
    one = model.objects.create(**key, **before)
    changed(one, **{name: value for name, (_, value, _) in values.items()}).save()
    one.save()
    model._base_manager.filter(pk=one.pk).update(**{name: value for name, (_, _, value) in values.items()})


def thrice(name: str, *values: Any) -> list[Any]:
    first, second, third = values
    return [CREATED, {name: (first, second)}, {name: (second, third)}]


def a_user() -> User:
    return User.objects.create(username="ada")


def profile() -> None:
    saved(Profile, {"user": a_user()}, motto=("a", "b", "c"))


def upserted(model: Any, **key: Any) -> None:
    """New by a key of its own, then there already."""
    for name in ("a", "b", "b"):
        model.objects.bulk_create(
            [model(**key, name=name)],
            update_conflicts=True,
            unique_fields=[model._meta.pk.name],
            update_fields=["name"],
        )


def tree() -> None:
    root = Branch.objects.create()
    leaf = Branch.objects.create(parent=root)
    changed(leaf, parent=leaf).save()
    root.delete()  # no longer above anything
    changed(leaf, parent=None).save()


def softly_deleted() -> None:
    paper = Paper.objects.create(title="a")
    Paper.objects.all().delete()  # an update, by a queryset of its own
    assert not Paper.objects.exists()
    changed(paper, is_deleted=True, touched=1, title="b").save()  # hidden from `objects`, not from save
    Paper._base_manager.update(is_deleted=False)
    Paper.objects.filter(title="b").update(title="c")


def by_proxy() -> None:
    paper = PaperByTitle.objects.create(title="a")
    changed(paper, title="b").save()
    PaperByTitle.objects.update(title="c")
    PaperByTitle.objects.bulk_create([PaperByTitle(title="d")])


def by_child() -> None:
    one = Restaurant.objects.create(name="a")
    changed(one, stars=1).save()
    changed(one, name="b").save()
    Restaurant.objects.update(stars=2)
    Restaurant.objects.update(stars=3, name="c")
    changed(one, name="d").save(update_fields=["name"])
    Restaurant.objects.filter(stars=3).bulk_update([changed(one, name="e")], ["name"])


def by_grandchild() -> None:
    one = Chain.objects.create(name="a")
    changed(one, name="b", stars=1, size=2).save()
    Chain.objects.filter(size=2).update(name="c", size=3)


def a_hotel() -> None:
    Place.objects.create(name="so that")
    Place.objects.create(name="keys differ")
    Firm.objects.create(vat="first")
    OutboxEvent.objects.all().delete()
    hotel = Hotel.objects.create(name="a", vat="1")
    assert hotel.place_id != hotel.firm_id
    changed(hotel, vat="2").save()
    changed(hotel, name="b").save()
    Hotel.objects.update(name="c", vat="3", beds=1)


def story() -> None:
    one = Story.objects.create(title="a")
    one.save()
    changed(one, title="b").save()
    Story.objects.update(modified=NOON)


def chapters() -> None:
    whole: Any = Story.objects.create(title="s")
    first, second = whole.chapters.create(title="a"), whole.chapters.create(title="b")
    whole.set_chapter_order([second.pk, first.pk])


def safe() -> None:
    one = Safe.objects.create(label="a", secret="x")
    changed(one, secret="xyz").save()
    changed(one, secret="b").save()
    Safe.objects.update(secret="bc")
    Safe.objects.update(secret="c")
    changed(one, label="b", secret="c").save()


def odd() -> None:
    one = Odd.objects.create(order="a")
    changed(one, order="b").save()
    Odd.objects.update(order=Concat(F("order"), Value("%s'")))
    changed(one, größe=1, order="b%s'").save(update_fields=["größe", "order"])
    Odd.objects.bulk_create(
        [Odd(id=one.pk, order="c")], update_conflicts=True, unique_fields=["id"], update_fields=["order"]
    )


def letters() -> None:
    one = Letter(name="a")
    one.save()
    changed(one, state="sent").save()
    Letter.objects.bulk_create([Letter(name="b")])
    Letter.objects.bulk_create([Letter(name="b"), Letter(name="c")], ignore_conflicts=True)
    Letter.objects.bulk_create(
        [Letter(name="a", state="read"), Letter(name="d")],
        update_conflicts=True,
        unique_fields=["name"],
        update_fields=["state"],
    )


def wide() -> None:
    one = Wide.objects.create()
    changed(one, column_0=1, column_119=2).save()


def readings() -> None:
    low, high = Reading.objects.create(id=1), Reading.objects.create(id=500)
    changed(low, value=1).save()
    Reading.objects.filter(id=high.pk).update(value=2)


def users() -> None:
    user = User(username="ada")
    user.set_password("first")
    user.save()
    user.set_password("second")
    user.save()
    changed(user, last_login=NOON).save(update_fields=["last_login"])
    changed(user, email="ada@example.com").save()


CASES: dict[str, Case] = {
    "key: automatic": Case(
        "invoice", lambda: saved(Invoice, {"number": "1"}, state=("a", "b", "c")), thrice("state", *"abc")
    ),
    "key: a text": Case(
        "country", lambda: saved(Country, {"code": "it's %s"}, name=("a", "b", "c")), thrice("name", *"abc")
    ),
    "key: a UUID": Case("device", lambda: saved(Device, {}, name=("a", "b", "c")), thrice("name", *"abc")),
    "key: an instant": Case(
        "hour", lambda: saved(Hour, {"at": NOON}, name=("a", "b", "c")), thrice("name", *"abc")
    ),
    "key: an instant, upserted": Case(
        "hour", lambda: upserted(Hour, at=NOON), [CREATED, {"name": ("a", "b")}]
    ),
    "key: a text, upserted": Case(
        "country", lambda: upserted(Country, code="DE"), [CREATED, {"name": ("a", "b")}]
    ),
    "key: made by the database": Case(
        "letter",
        letters,
        [CREATED, {"state": ("new", "sent")}, CREATED, CREATED, {"state": ("sent", "read")}, CREATED],
    ),
    "key: another's": Case("profile", profile, thrice("motto", *"abc")),
    "a tree": Case("branch", tree, [CREATED, CREATED, "parent", "parent"]),
    "soft deletion": Case(
        "paper",
        softly_deleted,
        [
            CREATED,
            {"is_deleted": (False, True), "touched": (0, 1)},
            {"title": ("a", "b")},
            {"is_deleted": (True, False)},
            {"title": ("b", "c"), "touched": (1, 2)},
        ],
    ),
    "a proxy": Case(
        "paper",
        by_proxy,
        [CREATED, {"title": ("a", "b")}, {"title": ("b", "c"), "touched": (0, 1)}, CREATED],
    ),
    "a child": Case(
        "place",
        by_child,
        [CREATED, *({"name": pair} for pair in ("ab", "bc", "cd", "de"))],
    ),
    "a grandchild": Case("place", by_grandchild, [CREATED, {"name": "ab"}, {"name": "bc"}]),
    "two parents, the one": Case("place", a_hotel, [CREATED, {"name": "ab"}, {"name": "bc"}]),
    "two parents, the other": Case("firm", a_hotel, [CREATED, {"vat": "12"}, {"vat": "23"}]),
    "auto_now and select_on_save": Case("story", story, [CREATED, {"title": "ab"}]),
    "an order of its own": Case(
        "chapter", chapters, [CREATED, CREATED, {"_order": (1, 0)}, {"_order": (0, 1)}]
    ),
    "an excluded field, and what is worked out from it": Case(
        "safe_box", safe, [CREATED, {"hint": "xb"}, {"hint": "bc"}, {"label": "ab"}]
    ),
    "odd names": Case(
        "odd",
        odd,
        [CREATED, {"order": "ab"}, {"order": ("b", "b%s'")}, {"größe": (0, 1)}, {"order": ("b%s'", "c")}],
    ),
    "another schema": Case(
        "elsewhere", lambda: saved(Elsewhere, {}, name=("a", "b", "c")), thrice("name", *"abc")
    ),
    "partitions": Case("reading", readings, [CREATED, CREATED, {"value": (0, 1)}, {"value": (0, 2)}]),
    "many columns": Case("wide", wide, [CREATED, {"column_0": (0, 1), "column_119": (0, 2)}]),
    "users, by the setting": Case("user", users, [CREATED, {"email": ("", "ada@example.com")}]),
}


@pytest.mark.parametrize("name", CASES)
def test_a_model_of_any_shape_tells_each_real_change_once(name: str, mode: str) -> None:
    # Given workflows for its new ones and for its changes
    entity, do, expected = CASES[name]
    watching(entity, "created")
    watching(entity, "updated")

    # When it is written in the ways that Django has
    do()

    # Then each change is told, once, and none of them passed by
    assert in_any_order(told()) == in_any_order(expected)
    assert not UncapturedWrite.objects.exists()


def in_any_order(events: list[Any]) -> list[str]:
    """Those of one statement have none. Of references, whose ids nobody knows here, only the name."""
    return sorted(
        "parent"
        if "parent" in one
        else str(sorted((name, list(pair)) for name, pair in one.items()) if isinstance(one, dict) else one)
        for one in events
    )


@pytest.mark.parametrize("entity", ["user", "safe_box"])
def test_what_is_excluded_is_nowhere_in_an_event(entity: str, mode: str) -> None:
    watching(entity, "created")
    watching(entity, "updated")
    users() if entity == "user" else safe()
    assert OutboxEvent.objects.exists()
    for payload in OutboxEvent.objects.values_list("payload", flat=True):
        told_of = {*payload["fields"], *payload.get("_diff", {})}
        assert not told_of & {"password", "last_login", "secret"}
