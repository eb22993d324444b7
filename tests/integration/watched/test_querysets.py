"""Querysets of watched models are those of Django: same rows, same counts, same errors, captured or not."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import FieldDoesNotExist, FieldError
from django.db import transaction
from django.db.models import Case, Count, Exists, F, Max, OuterRef, Q, Subquery, Value, When
from django.db.models.functions import Lower

from tests.capturing import told, watching
from tests.watched_app.models import Branch, Country, Invoice, Restaurant
from triggers.models import OutboxEvent
from triggers.records import bulk
from triggers.records import watching as registry

pytestmark = pytest.mark.django_db

CLOSED = {"state": "closed"}
rows: Any = Branch.objects
leaves = ~Exists(Branch.objects.filter(parent=OuterRef("pk")))
above = (
    Branch.objects.filter(rank__gt=OuterRef("rank"))
    .order_by()
    .values("state")
    .annotate(n=Count("pk"))
    .values("n")
)


UPDATES: dict[str, Callable[[], Any]] = {
    "all": lambda: rows.update(**CLOSED),
    "filtered": lambda: rows.filter(rank=1).update(**CLOSED),
    "none": lambda: rows.none().update(**CLOSED),
    "nothing found": lambda: rows.filter(rank=99).update(**CLOSED),
    "nothing given": lambda: rows.update(),
    "ordered": lambda: rows.order_by("-rank").update(**CLOSED),
    "ordered by an annotation": lambda: rows.annotate(n=F("rank") * 2).order_by("-n").update(**CLOSED),
    "ordered by an aggregate": lambda: rows.annotate(n=Count("children")).order_by("n").update(**CLOSED),
    "reversed": lambda: rows.order_by("rank").reverse().update(**CLOSED),
    "shuffled": lambda: rows.order_by("?").update(**CLOSED),
    "distinct": lambda: rows.distinct().update(**CLOSED),
    "distinct by a field": lambda: rows.distinct("rank").update(**CLOSED),
    "sliced": lambda: rows.all()[:2].update(**CLOSED),
    "united": lambda: rows.filter(rank=1).union(rows.filter(rank=2)).update(**CLOSED),
    "without a difference": lambda: rows.filter(rank=1).difference(rows.filter(rank=2)).update(**CLOSED),
    "either": lambda: (rows.filter(rank=1) | rows.filter(rank=2)).update(**CLOSED),
    "values": lambda: rows.values("state").update(**CLOSED),
    "values_list": lambda: rows.values_list("rank", flat=True).update(**CLOSED),
    "grouped": lambda: rows.values("state").annotate(n=Count("pk")).update(**CLOSED),
    "annotated": lambda: rows.annotate(n=Lower("state")).update(state=F("n")),
    "annotated and filtered": lambda: rows.annotate(n=F("rank") + 1).filter(n=2).update(**CLOSED),
    "aggregated and filtered": lambda: rows.annotate(n=Count("children")).filter(n__gt=0).update(**CLOSED),
    "aggregated into a value": lambda: rows.annotate(n=Max("children__rank")).update(rank=F("n")),
    "deferred": lambda: rows.defer("state").update(**CLOSED),
    "only": lambda: rows.only("state").update(**CLOSED),
    "select_related": lambda: rows.select_related("parent").update(**CLOSED),
    "select_for_update": lambda: rows.select_for_update().update(**CLOSED),
    "select_for_update of another": lambda: rows.select_for_update(of=("parent",)).update(**CLOSED),
    "extra": lambda: rows.extra(where=["rank > 1"]).update(**CLOSED),
    "by its own table": lambda: rows.filter(parent__state="open").update(**CLOSED),
    "by its parents' children": lambda: rows.filter(children__rank__gt=1).update(**CLOSED),
    "leaves": lambda: rows.filter(leaves).update(parent=None),
    "with a subquery": lambda: rows.filter(rank__in=rows.filter(state="open").values("rank")).update(
        **CLOSED
    ),
    "to what all of them are": lambda: rows.update(rank=Subquery(above[:1])),
    "to what each is": lambda: rows.update(rank=F("rank") + 1),
    "to what a Case says": lambda: rows.update(
        state=Case(When(Q(rank=1), then=Value("one")), default=F("state"))
    ),
    "an unknown field": lambda: rows.update(nothing=1),
    "a field of another": lambda: rows.update(rank=F("parent__rank")),
    "an aggregate": lambda: rows.update(rank=Max("rank")),
    "a wrong value": lambda: rows.update(rank="one"),
    "a value that does not fit": lambda: rows.update(rank=10**12),
    "bulk_update": lambda: rows.bulk_update([Branch(pk=one.pk, rank=7) for one in rows.all()], ["rank"]),
    "bulk_update, of nothing": lambda: rows.bulk_update([], ["rank"]),
    "bulk_update, no field": lambda: rows.bulk_update(list(rows.all()), []),
    "bulk_update, no key": lambda: rows.bulk_update([Branch()], ["rank"]),
    "bulk_create, a bad batch": lambda: rows.bulk_create([Branch()], batch_size=-1),
    "bulk_create, too much said": lambda: rows.bulk_create(
        [Branch()], ignore_conflicts=True, update_conflicts=True
    ),
    "bulk_create, too little": lambda: rows.bulk_create(
        [Branch()], update_conflicts=True, update_fields=["rank"]
    ),
    "bulk_create, nothing to find it by": lambda: rows.bulk_create(
        [Branch()], update_conflicts=True, update_fields=["rank"], unique_fields=["rank"]
    ),
    "bulk_create, of several tables": lambda: Restaurant.objects.bulk_create([Restaurant(name="a")]),
}


class Undo(Exception):
    pass


def outcome(do: Callable[[], Any]) -> Any:
    """What it answers or raises, and what is stored then; nothing of it remains."""
    try:
        with transaction.atomic():
            try:
                with transaction.atomic():
                    answer = do()
                    answer = answer if isinstance(answer, int) else len(answer)
            except Exception as error:  # noqa: BLE001  compared
                answer = (type(error), str(error).partition("\n")[0])
            raise Undo(
                (answer, list(Branch.objects.order_by("pk").values_list("pk", "parent", "state", "rank")))
            )
    except Undo as undo:
        return undo.args[0]


@pytest.fixture
def tree(db: None) -> None:
    root = Branch.objects.create(pk=1, rank=1)
    middle = Branch.objects.create(pk=2, rank=2, parent=root)
    Branch.objects.bulk_create(
        [Branch(pk=3, rank=1, parent=middle, state="Shut"), Branch(pk=4, rank=3, parent=middle)]
    )


@pytest.mark.parametrize("size", [500, 2])
@pytest.mark.parametrize("name", UPDATES)
def test_a_watched_queryset_does_what_an_unwatched_one_does(
    name: str, size: int, tree: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given what Django does with it alone
    watch = registry.named("branch")
    assert watch is not None
    registry.forget(Branch)
    expected = outcome(UPDATES[name])
    registry.add(watch)

    # When every change of it is captured, in pieces of two or all at once
    watching("branch", "updated")
    monkeypatch.setattr(bulk, "AT_ONCE", size)

    # Then the answer, or the error, and the rows are the same
    assert outcome(UPDATES[name]) == expected


@pytest.mark.parametrize("error", [FieldDoesNotExist, FieldError])
def test_given_a_transaction_when_an_update_is_refused_before_it_is_sent_then_the_transaction_goes_on(
    error: type[Exception], tree: None
) -> None:
    watching("branch", "updated")
    with transaction.atomic():
        with pytest.raises(error):
            UPDATES["an unknown field" if error is FieldDoesNotExist else "ordered by an aggregate"]()
        rows.filter(pk=1).update(rank=5)
    assert told() == [{"rank": (1, 5)}]


def test_given_children_of_open_parents_when_they_are_closed_in_many_pieces_then_none_is_left(
    tree: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second piece would not find the parents open that the first has closed."""
    monkeypatch.setattr(bulk, "AT_ONCE", 1)
    watching("branch", "updated", "state")
    assert rows.filter(parent__state="open").update(state="closed") == 3
    assert len(told()) == 3


def test_reading_is_untouched(tree: None, django_assert_num_queries: Any) -> None:
    watching("branch", "updated")
    with django_assert_num_queries(5):
        assert set(rows.in_bulk([1, 2])) == {1, 2}
        assert rows.filter(rank=1).count() == 2
        assert list(rows.order_by("pk").values_list("pk", flat=True)) == [1, 2, 3, 4]
        branch = rows.get(pk=1)
        branch.rank = 9
        branch.refresh_from_db()
    assert branch.rank == 1
    assert not OutboxEvent.objects.exists()


def test_querysets_and_instances_can_be_pickled(tree: None) -> None:
    found = pickle.loads(pickle.dumps(rows.filter(rank=1)))
    assert [one.pk for one in found.order_by("pk")] == [1, 3]
    query = pickle.loads(pickle.dumps(rows.filter(rank=1).query))
    again = rows.all()
    again.query = query
    watching("branch", "updated")
    assert again.update(rank=8) == 2
    assert len(told()) == 2
    instance = pickle.loads(pickle.dumps(rows.get(pk=1)))
    instance.rank = 4
    instance.save()
    assert told()[-1] == {"rank": (8, 4)}


@pytest.mark.parametrize("name", ["update", "bulk_create", "aupdate"])
def test_templates_cannot_call_what_writes(name: str) -> None:
    assert getattr(rows.all(), name).alters_data is True


def test_an_instance_that_was_deleted_meanwhile_is_a_new_one(mode: str) -> None:
    watching("invoice", "created")
    watching("invoice", "updated")
    invoice = Invoice.objects.create(number="1")
    Invoice.objects.all().delete()
    invoice.number = "2"
    invoice.save()
    assert told() == ["created", "created"]


def test_a_copy_under_another_key_is_a_new_one(mode: str) -> None:
    watching("country", "created")
    watching("country", "updated")
    country = Country.objects.create(code="DE", name="a")
    country.code = "FR"
    country.save()
    assert told() == ["created", "created"]
