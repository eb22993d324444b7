"""How a webhook is signed is a column of this release; to go back takes it away, and to come again left it empty.

The published version still said `signature`, and requests without any were accepted.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.core.management import call_command

from tests.factories import BY, a_published_workflow
from tests.integration.test_webhook import address_of, post
from tests.signing import SECRETS, a_signed_workflow, signed
from triggers import webhook_secrets
from triggers.models import OutboxEvent

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _all_tables_afterwards() -> Iterator[None]:
    yield
    call_command("migrate", verbosity=0)


@pytest.mark.parametrize("name", ["github", "typeform"])
def test_what_was_published_signed_takes_nothing_until_it_has_a_secret_again(name: str) -> None:
    workflow, unsigned = a_signed_workflow(name), a_published_workflow()

    call_command("migrate", "triggers", "0009", verbosity=0)
    call_command("migrate", "triggers", verbosity=0)

    hook = address_of(workflow)
    assert post(hook, b"{}").status_code == 404
    assert post(hook, b"{}", **signed(name, b"{}")).status_code == 404
    assert not OutboxEvent.objects.exists()
    webhook_secrets.add(workflow_id=workflow.pk, secret=SECRETS[name], by=BY)
    assert post(hook, b"{}", **signed(name, b"{}")).status_code == 202
    assert post(address_of(unsigned), b"{}").status_code == 202
