"""Publishing a workflow in a test, starting it, and going on until nothing is left to do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.test import utils
from pydantic import ValidationError

from executions import egress, sweeper
from executions.agents import asking
from executions.models import Run
from executions.states import LIVE_RUN
from lightfield.access import credentials
from lightfield.access.models import Credential
from lightfield.kernel import bells, sql
from lightfield.kernel.errors import Problem, RequestRefused
from lightfield.testing import standing_in
from lightfield.testing.fakes import Fakes
from lightfield.testing.far_end import client_for
from lightfield.testing.results import FinishedRun, result_of
from lightfield.testing.ringing import NoNotes, Ringer
from triggers import services as triggers
from triggers.decisions import notebook
from workflows import services, step_types
from workflows.definitions import parse_definition
from workflows.foresight import warnings_of
from workflows.models import Workflow

BY: Final = "a test"
MOST_WAITS: Final = 10_000  # of one test: 100 steps with 50 attempts each, twice

# The nearest instant at which anything that waits goes on: a wait that is over, or a run's own end.
NEXT_INSTANT: Final = """
SELECT extract(epoch FROM min(at) - clock_timestamp())::float8 FROM (
  SELECT least(s.due_at, r.deadline_at) AS at FROM executions_steprun s JOIN executions_run r ON r.id = s.run_id
  WHERE s.status = 'waiting' AND r.status IN ('pending', 'running', 'waiting')) waits
"""
PASS: Final = (
    "UPDATE executions_steprun SET due_at = due_at - make_interval(secs => %(seconds)s::float8) WHERE status = 'waiting'",
    "UPDATE executions_run SET deadline_at = deadline_at - make_interval(secs => %(seconds)s::float8) "
    "WHERE status IN ('pending', 'running', 'waiting')",
)


class NotPublishable(AssertionError):
    """The definition has problems; each stands in the message with its place. `problems` has them."""

    def __init__(self, problems: list[Problem], message: str) -> None:
        lines = [f"{one.pointer or '/'}: {one.detail} ({one.code})" for one in problems] or [message]
        super().__init__("the workflow cannot be published:\n" + "\n".join(lines))
        self.problems = problems


class NeverEnds(AssertionError):
    """Nothing is left to do and the run has not ended, or it has no end. The log says why."""


class OutputMismatch(AssertionError):
    """A step type returned what its own `Output` does not describe."""


class WrongDatabase(RuntimeError):
    """`run` writes and commits: it works on a test's database, and not inside a test's transaction."""


def publish(
    workflow: Mapping[str, Any] | str | Path | Workflow,
    *,
    secrets: Mapping[str, str | list[str]] | None = None,
) -> Workflow:
    """Create and publish a workflow: a definition, or the path of a JSON file that holds one.

    `run` does it for the workflow that it runs; this is for others that are to be there, such as one that a record starts.

    Args:
        secrets: as `run` takes them.

    Raises:
        NotPublishable: with every problem at its place.
        WrongDatabase: see there.
    """
    _refuse_other_databases()
    if isinstance(workflow, Workflow):
        _keep(secrets or {})
        return workflow
    definition = (
        json.loads(Path(workflow).read_text()) if isinstance(workflow, str | Path) else dict(workflow)
    )
    with _quiet(Ringer()):
        _keep(secrets or {})
        try:
            made = services.create_workflow(definition=definition, by=BY)
            services.publish(workflow_id=made.pk, by=BY)
        except RequestRefused as refusal:
            raise NotPublishable(refusal.problems, refusal.message) from None
    made.refresh_from_db()
    return made


def run(
    workflow: Mapping[str, Any] | str | Path | Workflow,
    payload: Any = None,
    *,
    fakes: Fakes | None = None,
    secrets: Mapping[str, str | list[str]] | None = None,
    check_outputs: bool = True,
) -> FinishedRun:
    """Run a workflow to its end with `payload` as the trigger's output, and whatever it starts in turn.

    Waits are over at once: sleeps, the pauses between attempts, and the run's own `timeout_seconds`, in the order in which they
    would have ended. `skipped_seconds` says how long it would have taken.

    Args:
        workflow: a definition, the path of a JSON file, or a published `Workflow`.
        payload: any JSON.
        fakes: the far side of requests and models; None: any request and any question is refused.
        secrets: by name the host, or hosts, that each is bound to: `{"stripe": "api.stripe.com"}`. The value of each is
            `secret_value(name)`. One that is there already is left as it is.
        check_outputs: refuse outputs that a step type's own `Output` does not describe.

    Raises:
        NotPublishable, NeverEnds, OutputMismatch, UnfakedRequest, UnfakedQuestion, TranscriptMismatch, WrongDatabase: see there.
            A run that fails is a result and no error.
    """
    fakes = fakes or Fakes()
    published = publish(workflow, secrets=secrets)
    ringer = Ringer()
    with _quiet(ringer), _faking(fakes):
        captured = triggers.run_by_hand(
            workflow_id=published.pk, payload=payload, idempotency_key=None, traceparent=None, by=BY
        )
        skipped = _until_nothing_is_left(ringer)
    fakes.check()
    first, *others = _ended(_runs_of(captured.event_id))
    if check_outputs:
        _check_outputs([first, *others])
    return result_of(
        first,
        skipped_seconds=skipped,
        warnings=warnings_of(parse_definition(first.version.definition)),
        led_to=[result_of(one) for one in others],
    )


def secret_value(name: str) -> str:
    """The value that a secret has in a test."""
    return f"the-secret-{name}"


def _keep(secrets: Mapping[str, str | list[str]]) -> None:
    there = set(Credential.objects.filter(name__in=[*secrets]).values_list("name", flat=True))
    for name, hosts in secrets.items():
        if name not in there:
            bound_to = [hosts] if isinstance(hosts, str) else hosts
            credentials.create(sent={"name": name, "value": secret_value(name), "hosts": bound_to}, by=BY)


def _until_nothing_is_left(ringer: Ringer) -> float:
    """Answer bells; when all is silent, let the nearest wait be over. Returns the seconds that were skipped."""
    skipped = 0.0
    for _ in range(MOST_WAITS):
        ringer.answer_all()
        seconds = _to_the_next_instant()
        if seconds is None:
            return skipped
        skipped += max(0.0, seconds)
        for statement in PASS:
            sql.rows(statement, {"seconds": max(0.0, seconds) + 0.001})
        sweeper.sweep()
    raise NeverEnds(f"it waited {MOST_WAITS:,} times and goes on")


def _to_the_next_instant() -> float | None:
    """Seconds until anything that waits goes on; None when nothing waits."""
    found = sql.row(NEXT_INSTANT, {})
    return None if found is None or found[0] is None else float(found[0])


def _runs_of(event_id: UUID) -> list[Run]:
    """The event's run, then those that it led to, oldest first."""
    own = Run.objects.filter(event_id=event_id)
    traced = Run.objects.filter(trace_id__in=own.values("trace_id")).select_related(
        "event", "workflow", "version"
    )
    return sorted(traced, key=lambda one: (one.event_id != event_id, one.pk))


def _ended(runs: list[Run]) -> list[Run]:
    if not runs:
        raise NeverEnds("the event became no run: see its error code in the table of events, and the log")
    live = [f"{one.workflow.name}: {one.status}" for one in runs if one.status in LIVE_RUN]
    if live:
        raise NeverEnds(f"nothing is left to do, and it has not ended: {', '.join(live)}")
    return runs


def _check_outputs(runs: list[Run]) -> None:
    for one in runs:
        for step in one.steps.filter(status="completed", reused=False):
            step_type = step_types.find(step.type)
            if step_type is None or step_type.Output is None:
                continue
            try:
                step_type.Output.model_validate(step.output)
            except ValidationError as error:
                flaws = "; ".join(
                    f"{'/'.join(map(str, one['loc'])) or 'it'}: {one['msg']}" for one in error.errors()
                )
                raise OutputMismatch(
                    f"the output of {step.key} is not what the step type {step.type} declares: {flaws}"
                ) from None


@contextmanager
def _quiet(ringer: Ringer) -> Iterator[None]:
    """Bells are kept here, and notes of decisions nowhere; there is a model to ask."""
    bells_before, notes_before = bells.use(ringer), notebook.use(NoNotes())
    try:
        with standing_in.a_model():
            yield
    finally:
        bells.use(bells_before)
        notebook.use(notes_before)


@contextmanager
def _faking(fakes: Fakes) -> Iterator[None]:
    client = client_for(fakes)
    before = egress.use(client)
    asked_before = asking.use(fakes.ask)
    try:
        yield
    finally:
        egress.use(before)
        asking.use(asked_before)
        client.close()


def _refuse_other_databases() -> None:
    if not hasattr(utils._TestState, "saved_data"):  # type: ignore[attr-defined]  # what Django's own test runner asks
        raise WrongDatabase(
            "lightfield.testing works in tests only: it writes to the database that is configured"
        )
    if connection.in_atomic_block:
        raise WrongDatabase(
            "the engine commits, and this test is one transaction: mark it with "
            "@pytest.mark.django_db(transaction=True), or use a TransactionTestCase"
        )
