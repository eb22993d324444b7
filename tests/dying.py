"""`python -m tests.dying`: does each deed in a process of its own, which dies when it is told to.

Forked from one that has loaded Django and opened no connection, so that a death costs milliseconds. A line of JSON
comes in for each deed, and one goes out with how that process ended.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

ROOT = Path(__file__).resolve().parents[1]
BEFORE_COMMIT = "COMMIT"  # besides the crash points: everything is written, COMMIT is not yet sent
AFTERWARDS = "afterwards"  # committed, and the next line is never reached


def writes(key: str) -> dict[str, Callable[[], Any]]:
    """Each a bare write in autocommit. `key` is that of an opportunity in stage `new`."""
    from crm.models import Opportunity

    def deals(number: int) -> list[Opportunity]:
        return [Opportunity(name=f"Another {count}", stage="won") for count in range(number)]

    def changed() -> Opportunity:
        one = Opportunity.objects.get(pk=key)
        one.stage = "won"
        return one

    return {
        "save": lambda: changed().save(),
        "save(update_fields)": lambda: changed().save(update_fields=["stage"]),
        "save, new": lambda: deals(1)[0].save(),
        "update": lambda: Opportunity.objects.filter(pk=key).update(stage="won"),
        "bulk_create": lambda: Opportunity.objects.bulk_create(deals(3)),
        "bulk_create, in batches": lambda: Opportunity.objects.bulk_create(deals(3), batch_size=1),
        "bulk_create(ignore_conflicts)": lambda: Opportunity.objects.bulk_create(
            deals(2), ignore_conflicts=True
        ),
        "bulk_create(update_conflicts)": lambda: Opportunity.objects.bulk_create(
            [Opportunity(pk=key, name="One", stage="won")],
            update_conflicts=True,
            unique_fields=["id"],
            update_fields=["stage"],
        ),
        "bulk_update": lambda: Opportunity.objects.bulk_update([changed()], ["stage"]),
    }


class Mortals:
    """The process that forks those who do them."""

    def __init__(self, orders: Path, database: str) -> None:
        url = urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{database}"))
        self.orders = orders
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.dying"],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": url, "LIGHTFIELD_CRASHPOINTS": str(orders)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def do(self, deed: str, key: object, *, point: str, mode: str = "orm", passes: int = 1) -> int:
        """Let one do it and die when it passes this point the n-th time. How it ended: `-signal.SIGKILL`, 0 if it never did."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = self.orders / point
        order.write_text(f"kill {passes}")
        wish = {"deed": deed, "key": str(key), "mode": mode, "point": point}
        self._process.stdin.write(json.dumps(wish) + "\n")
        self._process.stdin.flush()
        ended = int(json.loads(self._process.stdout.readline()))
        order.unlink(missing_ok=True)
        return ended

    def end(self) -> None:
        self._process.communicate(timeout=20)


@contextmanager
def mortals(database: str) -> Iterator[Mortals]:
    with tempfile.TemporaryDirectory(prefix="lf-dying-") as orders:
        found = Mortals(Path(orders), database)
        try:
            yield found
        finally:
            found.end()


def deeds(key: str) -> dict[str, Callable[[], Any]]:
    """What people do with the workflow that has this key, and workers with the run."""
    from uuid import UUID

    from workflows import services

    return {
        "publish": lambda: services.publish(workflow_id=UUID(key), by="somebody mortal"),
        "archive": lambda: services.archive(workflow_id=UUID(key), by="somebody mortal"),
        "deliver": lambda: _deliver(key),
        "advance": lambda: _advance(key),
        "advance in a cell": lambda: _advance_in_a_cell(key),
        "tell": _tell,
        "expire": lambda: _expire(key),
        "work at an agent": lambda: _work_at_an_agent(key),
        "work at an agent in a cell": lambda: _work_at_an_agent(key, in_cell=True),
    }


def _advance(run_id: str) -> None:
    from executions import engine

    engine.advance([run_id])


def _advance_in_a_cell(run_id: str) -> None:
    from executions import cells
    from executions.models import StepRun

    cells.run_here([StepRun.objects.get(run__id=run_id, finished_at=None).pk], "fast")


def _work_at_an_agent(run_id: str, *, in_cell: bool = False) -> None:
    """The agent of `tests.agents.Story`, whose step is queued or was lost."""
    from executions import cells, worker
    from executions.models import StepRun
    from tests.agents import Story, agents_installed, asked_of

    story = Story(Path(os.environ["LIGHTFIELD_CRASHPOINTS"], Story.FILE))
    with agents_installed(), story.told(), asked_of(story.model):
        ids = [StepRun.objects.get(run__id=run_id, finished_at=None).pk]
        cells.run_here(ids, "ai") if in_cell else worker.execute(ids)


def _deliver(token: str) -> None:
    """A webhook to this address, through the door."""
    from django.http import HttpResponse
    from django.test import RequestFactory

    from lightfield.urls import HookShortcut

    request = RequestFactory().post(f"/hooks/{token}", b'{"n": 1}', "application/json")
    HookShortcut(lambda _: HttpResponse())(request)


def _tell() -> None:
    """Gather and send failure notices, to loopback."""
    from django.test import override_settings

    from executions.notices import outgoing

    with override_settings(LIGHTFIELD_EGRESS_ALLOW="127.0.0.0/8", LIGHTFIELD_OWN_SERVERS=[]):
        outgoing.send_due()


def _expire(run_id: str) -> None:
    """What the bell for runs whose time is up sets off."""
    from executions.ending import end_run
    from executions.states import RunStatus

    end_run(run_id, status=RunStatus.FAILED, metadata={})


def _live(deed: str, key: str, mode: str, point: str) -> int:
    """What the child does with its life."""
    from django.db import connection, transaction
    from django.test import override_settings

    def die(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    # Where the database captures, a save in autocommit is one statement, which nothing can divide.
    is_one_statement = point == BEFORE_COMMIT and mode == "trigger"
    if point == BEFORE_COMMIT:
        connection.ensure_connection()
        connection.commit = die  # type: ignore[method-assign]
    with override_settings(LIGHTFIELD_CAPTURE=mode):
        with transaction.atomic() if is_one_statement else nullcontext():
            (writes(key) | deeds(key))[deed]()
        if point == AFTERWARDS:
            die()
    return 0


def _fork(wish: dict[str, str]) -> int:
    child = os.fork()
    if child == 0:
        try:
            os._exit(_live(**wish))
        except BaseException:  # noqa: BLE001  it must not run on as its parent
            traceback.print_exc()
            os._exit(70)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    import django

    django.setup()
    for line in sys.stdin:
        print(_fork(json.loads(line)), flush=True)  # noqa: T201  it is what we are for
