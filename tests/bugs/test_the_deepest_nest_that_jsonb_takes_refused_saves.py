"""A document nested nearly as deep as jsonb takes (raw SQL can store one) made every captured save of its row fail.

Whether anybody could read it was asked of its numbers first, all the way down: `stack depth limit exceeded`.
"""

from __future__ import annotations

import pytest
from django.db import OperationalError, connection, transaction

from crm.models import Opportunity
from tests.capturing import capturing, payloads, watching

pytestmark = pytest.mark.django_db(transaction=True)

NEST = """('{"a":' || repeat('[', %s) || repeat(']', %s) || '}')::jsonb"""


@pytest.mark.parametrize("mode", ["orm", "trigger"])
def test_given_a_nest_as_deep_as_jsonb_takes_then_saves_go_on_and_it_is_cut(mode: str) -> None:
    # Given
    depth = deepest() * 9 // 10
    with capturing(mode):
        watching("opportunity", "updated", "stage")
        deal = Opportunity.objects.create(name="A deal", stage="new")
        store(depth)

        # When
        Opportunity.objects.filter(pk=deal.pk).update(stage="won")
        Opportunity.objects.defer("custom").get(pk=deal.pk).save(update_fields=["name"])

        # Then
        (event,) = payloads()
        assert event["fields"]["custom"] == {"truncated": True, "bytes": 2 * depth + 7}
        assert event["_diff"] == {"stage": {"before": "new", "after": "won"}}


def store(depth: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE crm_opportunity SET custom = {NEST}", [depth, depth])


def deepest() -> int:
    """The deepest nest that this server takes, to a hundred; none is deeper than 100,000."""
    taken, refused = 0, 100_000
    while refused - taken > 100:
        middle = (taken + refused) // 2
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(f"SELECT {NEST} IS NULL", [middle, middle])
            taken = middle
        except OperationalError:
            refused = middle
    return taken
