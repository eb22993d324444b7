"""The bell for overdue runs ended any run whose id it carried, and one broken run kept the others from ending."""

from __future__ import annotations

import pytest

from executions import tasks
from executions.models import Run
from lightfield.kernel import sql
from tests.bellboy import Bellboy
from tests.staging import a_run, nap, told

pytestmark = pytest.mark.django_db(transaction=True)


def overdue(run: Run) -> Run:
    Run.objects.filter(pk=run.pk).update(deadline_at=run.created_at)
    return run


def status_of(run: Run) -> str:
    return Run.objects.get(pk=run.pk).status


def test_a_run_that_is_not_overdue_is_left_alone(bellboy: Bellboy) -> None:
    run = a_run(nap())

    tasks.expire_runs.apply(args=([str(run.pk)],))

    assert status_of(run) == "pending"
    assert told(run) == ["run.created"]


def test_given_a_broken_run_among_overdue_ones_then_the_others_end(bellboy: Bellboy) -> None:
    broken, sound = overdue(a_run(nap())), overdue(a_run(nap()))
    sql.rows("DELETE FROM executions_steprun WHERE run_id = %(id)s::uuid", {"id": str(broken.pk)})

    tasks.expire_runs.apply(args=([str(broken.pk), str(sound.pk)],))

    assert (status_of(broken), status_of(sound)) == ("pending", "failed")


def test_a_run_that_timed_out_before_it_began_was_never_started(bellboy: Bellboy) -> None:
    run = overdue(a_run(nap()))

    tasks.expire_runs.apply(args=([str(run.pk)],))

    run.refresh_from_db()
    assert (run.status, run.error_code, run.started_at) == ("failed", "run.timeout", None)
