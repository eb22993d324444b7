"""A small database with everything in it that the engine can lead to, made by really running workflows."""

from __future__ import annotations

from collections import deque
from typing import Any
from uuid import UUID

from django.db import transaction
from django.test import Client

from crm.models import Opportunity
from executions import cells, ending, services, sweeper
from executions.claims import StepInHand
from executions.models import Run
from executions.states import RunStatus
from lightfield.kernel import bells, sql
from lightfield.kernel.errors import PermanentStepError, TransientStepError
from tests.agents import Model, agents_installed, an_agent, asked_of, calls, says
from tests.bellboy import Bellboy
from tests.capturing import watching
from tests.clockwork import SINCE_MIDNIGHT, a_schedule, noon_zone, set_back
from tests.factories import BY, a_definition, a_published_workflow, an_event
from tests.integration.record_steps.playing import create, find, update, upsert
from tests.scripted import ScriptedSlow
from tests.staging import a_queued_step, claim, die_in_cells, end_lease, intend, nap, say, slow
from triggers import services as triggers
from triggers import ticking
from triggers.deliveries import desk, sending
from triggers.deliveries.models import Delivery
from triggers.models import Trigger
from triggers.publication import follow_version
from workflows import services as workflow_services
from workflows.definitions import checksum, dump, parse_definition
from workflows.models import Workflow, WorkflowVersion

OK = {"status_code": 200}
UNAVAILABLE = TransientStepError("http.unavailable", sent=True, answered=True, status_code=503)
NO_ANSWER = TransientStepError("http.timeout", sent=True)
NOT_SENT = TransientStepError("http.connect_failed", sent=False)
REFUSAL = PermanentStepError("http.client_error", sent=True, answered=True, status_code=400)

IS_BIG = {
    "key": "big",
    "type": "condition",
    "config": {"left": "{{ trigger.n }}", "operator": "gt", "right": 5},
}


class World:
    """Makes runs through the real tasks. `answers` are what the slow step's next sends meet: output or error."""

    def __init__(self, bellboy: Bellboy, slow_step: ScriptedSlow) -> None:
        self.bellboy = bellboy
        self.answers: deque[Any] = deque()
        slow_step.script = self._answer
        self.two_steps = a_published_workflow(steps=[slow("one"), say(), slow("two")])
        # Steps may reach no such address, and neither may notices: nothing leaves, and that is on record.
        told = {"on_failure": {"webhook": {"url": "http://127.0.0.1/"}}, "pause_after_failures": 1000}
        self.few_tries = a_published_workflow(
            steps=[slow("one", retry={"max_attempts": 2}), say()], settings=told
        )

    def _answer(self, request: dict[str, Any], context: Any) -> dict[str, Any]:
        answer = self.answers.popleft() if self.answers else OK
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            answer(context)
            return OK
        return dict(answer)

    def answer(self) -> None:
        """Answer every bell, and those that the answers ring."""
        self.bellboy.answer_all()

    # --- moving things ----------------------------------------------------------------------------

    def start(self, workflow: Workflow, *answers: Any, n: int = 9, **columns: Any) -> Any:
        """An event of this workflow, not dispatched yet."""
        self.answers = deque(answers)
        event = an_event(workflow, payload={"n": n}, **columns)
        bells.ring_dispatch(event.shard)
        return event

    def run(self, workflow: Workflow, *answers: Any, n: int = 9) -> Run:
        """A run, moved on until nothing rings any more."""
        event = self.start(workflow, *answers, n=n)
        self.answer()
        return Run.objects.get(event=event)

    def wake(self, run: Run) -> Run:
        """The run's wait is over: moved on again."""
        sql.rows(
            "UPDATE executions_steprun SET due_at = clock_timestamp() WHERE run_id = %(id)s AND status = 'waiting'",
            {"id": run.pk},
        )
        sweeper.sweep()
        self.answer()
        return self.fresh(run)

    def in_hand(self, workflow: Workflow) -> StepInHand:
        """The first step of a new run, held by a worker that committed its intent and says nothing more."""
        step = claim(a_queued_step(workflow=workflow).pk, worker="a dead worker")
        intend(step)
        return step

    def fresh(self, run: Run) -> Run:
        return Run.objects.get(pk=run.pk)

    # --- all that can come of a run ---------------------------------------------------------------

    def make_ended(self) -> None:
        """Every way a run ends, nothing left in flight."""
        self.run(self.two_steps)
        self.wake(self.wake(self.run(self.two_steps, UNAVAILABLE, NO_ANSWER)))
        self.make_failed()
        self.make_cancelled()
        self.make_lost()
        self.make_fast()
        self.make_undispatched()
        self.make_led_to()
        self.make_recorded()
        self.make_written()
        self.make_asked()
        self.make_scheduled()
        self.make_delivered()
        sweeper.sweep()
        self.answer()
        assert set(Run.objects.values_list("status", flat=True)) == {"completed", "failed", "cancelled"}

    def make_failed(self) -> None:
        refused = self.run(self.two_steps, OK, REFUSAL)
        services.replay_run(run_id=refused.pk, by=BY)
        self.answer()
        unknown = self.wake(self.run(self.few_tries, NO_ANSWER, NO_ANSWER))
        assert unknown.status == "failed"
        again = services.replay_run(run_id=unknown.pk, by=BY)
        self.answers = deque([NOT_SENT, NOT_SENT])
        self.answer()
        assert self.wake(again).status == "failed"
        services.replay_run(run_id=again.pk, by=BY)
        self.answer()
        assert self.wake(self.run(self.few_tries, NOT_SENT, NOT_SENT)).status == "failed"
        late = self.run(self.two_steps, UNAVAILABLE)
        Run.objects.filter(pk=late.pk).update(deadline_at=late.created_at)
        ending.end_run(str(late.pk), status=RunStatus.FAILED, metadata={})

    def make_asked(self) -> None:
        """Agents: one that read, wrote, sent and was refused, one that failed after it wrote."""
        wanted = calls(
            ("test_read", {}), ("test_write", {"name": "Acme"}), ("test_send", {}), ("rm", {"path": "/"})
        )
        with agents_installed(), asked_of(Model(wanted, wanted, says("Done."))):
            assert self.run(a_published_workflow(steps=[an_agent()])).status == "completed"
        with agents_installed(), asked_of(Model(wanted, REFUSAL)):
            assert self.run(a_published_workflow(steps=[an_agent()])).status == "failed"

    def make_led_to(self) -> None:
        """A run led to one of another workflow, and to an event of its own that is ignored."""
        cause = self.run(self.two_steps)
        continued: dict[str, Any] = {"caused_by": cause.pk, "depth": 1, "trace_id": cause.trace_id}
        self.start(self.few_tries, **continued)
        self.start(self.two_steps, **continued)
        self.answer()

    def make_recorded(self) -> None:
        """A record that is new and then changed, each with its run."""
        watching("opportunity", "created")
        watching("opportunity", "updated", "stage", "amount")
        deal = Opportunity.objects.create(name="A deal", stage="new")
        deal.stage = "won"
        deal.save()
        self.answer()

    def make_written(self) -> None:
        """Records by steps: created, changed, and one that failed and was replayed with what came before it taken over."""
        ada = {"email": "ada-{{ run.id }}@example.com"}
        steps = [
            upsert("contact", ada, key="ada"),
            update("contact", "{{ ada.id }}", key="titled", title="{{ trigger.n }}"),
        ]
        self.run(a_published_workflow(steps=[*steps, find("contact", key="all")]))
        again = {"email": "ada-{{ ada.id }}@example.com"}
        doomed = self.run(
            a_published_workflow(
                steps=[*steps, create("contact", key="one", **again), create("contact", key="two", **again)]
            )
        )
        assert doomed.error_code == "record.duplicate"
        services.replay_run(run_id=doomed.pk, by=BY)
        self.answer()

    def make_delivered(self) -> None:
        """A webhook, the same again, one that cannot be read, and a test of the draft with the first one's payload."""
        path = triggers.webhook_path(Trigger.objects.get(workflow=a_published_workflow()))
        for body in (b'{"n": 9}', b'{"n": 9}', b"{"):
            Client().post(path, body, "application/json", headers={"Idempotency-Key": "k"})
        assert desk.flush()
        accepted = Delivery.objects.get(verdict="accepted")
        sending.send_again(delivery_id=accepted.pk, as_=sending.As.TEST, by=BY)
        self.answer()

    def make_cancelled(self) -> None:
        def cancelled_meanwhile(context: Any) -> None:
            services.cancel_run(run_id=context.run_id, by=BY)

        self.run(self.two_steps, cancelled_meanwhile)
        services.cancel_run(run_id=self.run(self.two_steps, UNAVAILABLE).pk, by=BY)
        pending = a_queued_step(workflow=self.two_steps)
        services.cancel_run(run_id=pending.run_id, by=BY)
        services.replay_run(run_id=pending.run_id, by=BY)
        self.answer()

    def make_lost(self) -> None:
        once = self.in_hand(self.two_steps).step_run_id
        end_lease(once)
        cells.run_here([once], "http")
        self.answer()
        killer = self.in_hand(self.few_tries)
        die_in_cells(killer.step_run_id, times=3)
        assert cells.claim([killer.step_run_id], worker="heir") == []
        assert Run.objects.get(pk=killer.run_id).error_code == "step.worker_lost"

    def make_fast(self) -> None:
        gate = a_published_workflow(steps=[IS_BIG, say(), slow("later")])
        self.run(gate, n=9)
        self.run(gate, n=1)
        self.wake(self.run(a_published_workflow(steps=[nap(), say()])))
        napping = self.run(a_published_workflow(steps=[nap(), say()]))
        services.cancel_run(run_id=napping.pk, by=BY)

    def make_undispatched(self) -> None:
        archived = a_published_workflow()
        self.start(archived)
        workflow_services.archive(workflow_id=archived.pk, by=BY)
        self.answer()
        poisonous = self.start(self.without_steps())
        for _ in range(3):
            self.answer()
            bells.ring_dispatch(poisonous.shard)
        self.answer()

    def make_scheduled(self) -> None:
        """Six instants went by under each policy, and under one that was paused before it could fire."""
        morning = {"cron": "*/20 9-10 * * *", "timezone": noon_zone()}
        for missed in ("all", "latest", "none"):
            set_back(a_schedule({**morning, "missed": missed}), SINCE_MIDNIGHT)
        paused = set_back(a_schedule(morning), SINCE_MIDNIGHT)
        workflow_services.pause(workflow_id=paused.workflow_id, by=BY)
        a_schedule({"every": "week", "weekday": "mon", "at": "09:00"})
        while ticking.fire_due():
            pass
        self.answer()

    def without_steps(self) -> Workflow:
        """A workflow that no publish would let through: its events cannot be dispatched."""
        workflow = workflow_services.create_workflow(definition=a_definition(steps=[]), by=BY)
        document = dump(parse_definition(a_definition(steps=[])))
        version = WorkflowVersion.objects.create(
            workflow=workflow,
            number=1,
            definition=document,
            plan=[],
            checksum=checksum(document),
        )
        Workflow.objects.filter(pk=workflow.pk).update(active_version=version, status="active")
        with transaction.atomic():
            follow_version(workflow, version)
        return Workflow.objects.get(pk=workflow.pk)

    def make_in_flight(self) -> None:
        """A run in every status that is not an end, and an event that nobody has dispatched."""
        self.run(a_published_workflow(steps=[nap(), say()]))
        self.run(self.two_steps, UNAVAILABLE)
        a_queued_step(workflow=self.two_steps)
        self.in_hand(self.two_steps)
        held = self.in_hand(self.two_steps)
        services.cancel_run(run_id=UUID(held.run_id), by=BY)  # its worker may still send: the effect is open
        self.start(self.two_steps)
        self.bellboy.lose_all()
