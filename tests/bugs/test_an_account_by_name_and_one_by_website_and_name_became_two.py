"""Two runs at the same moment, one that upserts an account by its name and one by website and name, made two accounts of that name.

One after the other they make one. Afterwards an upsert by the name was `record.ambiguous` for good.

Found by a storm of record steps with cancels, deletes and lost workers beside it.
"""

from __future__ import annotations

import threading
from typing import Any

import pytest

from crm import services
from crm.models import Account
from executions import engine
from executions.models import Run
from tests.concurrency import race, wait_until_blocked
from tests.integration.record_steps.playing import upsert
from tests.staging import a_run

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]

BY_NAME = {"name": "Acme"}
BY_BOTH = {"name": "ACME", "website": "https://acme.example"}


@pytest.mark.parametrize("matches", [(BY_NAME, BY_BOTH), (BY_BOTH, BY_NAME)])
def test_given_one_that_is_about_to_create_then_the_other_waits_and_finds_it(
    matches: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    """Staged: the first has written and not committed."""
    written, go_on = threading.Event(), threading.Event()
    runs = [a_run(upsert("account", match)) for match in matches]
    insert = services.insert

    def insert_slowly(*args: Any, **kwargs: Any) -> None:
        insert(*args, **kwargs)
        written.set()
        assert go_on.wait(10)

    def second() -> Any:
        assert written.wait(10)
        try:
            return engine.advance([str(runs[1].pk)])
        finally:
            go_on.set()

    def release() -> None:
        assert written.wait(10)
        wait_until_blocked()
        go_on.set()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(services, "insert", insert_slowly)
        race(lambda: engine.advance([str(runs[0].pk)]), second, release)

    assert set(Run.objects.values_list("status", flat=True)) == {"completed"}
    assert Account.objects.get().website == "https://acme.example"
