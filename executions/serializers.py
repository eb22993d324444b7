"""How runs look outside. Every field is named here; nothing of a row slips out by itself."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from executions import timeline
from executions.agents.figures import Figures
from executions.agents.models import TurnKind
from executions.agents.transcript import turn_as_json
from executions.causal_chain import CausalChain
from executions.models import Run, StepRun
from executions.notices.models import Channel, MessageStatus, Notice
from executions.states import LIVE_RUN, RunStatus, StepStatus
from triggers.decisions.verdicts import Verdict
from triggers.models import EventStatus

TOLD = [choice for choice in Channel.choices if choice[0] != Channel.STREAK]


class FailureSerializer(serializers.Serializer[Any]):
    """Why a step or run failed; `code` is one of the error catalogue."""

    code = serializers.CharField()
    message = serializers.CharField()
    retryable = serializers.BooleanField()
    metadata = serializers.DictField()


@extend_schema_field(FailureSerializer)
class FailureField(serializers.JSONField):
    """Stored in that form."""


class RunSummarySerializer(serializers.Serializer[Run]):
    """A run in a list."""

    id = serializers.UUIDField(read_only=True)
    workflow = serializers.UUIDField(source="workflow_id", read_only=True)
    version = serializers.IntegerField(source="version_number", read_only=True)
    test = serializers.BooleanField(
        source="is_test", read_only=True, help_text="It ran a draft, whose number `version` would have been."
    )
    status = serializers.ChoiceField(RunStatus.choices, read_only=True)
    trace_id = serializers.CharField(read_only=True)
    event_id = serializers.UUIDField(read_only=True)
    replay_of = serializers.UUIDField(source="replay_of_id", read_only=True, allow_null=True)
    replayed_by = serializers.UUIDField(read_only=True, allow_null=True)
    error = FailureField(read_only=True, allow_null=True)
    created_at = serializers.DateTimeField(read_only=True)
    started_at = serializers.DateTimeField(read_only=True, allow_null=True)
    finished_at = serializers.DateTimeField(read_only=True, allow_null=True)


class AgentLimitsSerializer(serializers.Serializer[Any]):
    turns = serializers.IntegerField()
    tool_calls = serializers.IntegerField()
    tokens = serializers.IntegerField(help_text="Read and written, over all turns.")
    seconds = serializers.FloatField(help_text="Of work, over all attempts.")
    cost = serializers.FloatField(allow_null=True, help_text="US dollars; null: not limited.")


class AgentSerializer(serializers.Serializer[Figures]):
    """What an agent used so far, also while it runs and after it failed."""

    model = serializers.CharField(
        read_only=True, allow_null=True, help_text="`provider:name`; null before its first attempt."
    )
    turns = serializers.IntegerField(read_only=True, help_text="Answers of the model.")
    tool_calls = serializers.IntegerField(read_only=True, help_text="Refused ones included.")
    input_tokens = serializers.IntegerField(read_only=True)
    output_tokens = serializers.IntegerField(read_only=True)
    cost = serializers.FloatField(
        read_only=True, allow_null=True, help_text="US dollars; null: the model's price is not known."
    )
    limits = AgentLimitsSerializer(read_only=True, allow_null=True)


class StepRunSerializer(serializers.Serializer[StepRun]):
    key = serializers.CharField(read_only=True)
    position = serializers.IntegerField(read_only=True, help_text="From 1.")
    type = serializers.CharField(read_only=True)
    status = serializers.ChoiceField(StepStatus.choices, read_only=True)
    attempts = serializers.IntegerField(read_only=True, help_text="Begun so far, lost ones included.")
    reused = serializers.BooleanField(
        read_only=True, help_text="Taken over from the run that this one replays."
    )
    output = serializers.JSONField(read_only=True, allow_null=True)
    error = FailureField(read_only=True, allow_null=True)
    due_at = serializers.SerializerMethodField(help_text="While it waits: when it goes on.")
    started_at = serializers.DateTimeField(read_only=True, allow_null=True)
    finished_at = serializers.DateTimeField(read_only=True, allow_null=True)
    agent = AgentSerializer(
        read_only=True,
        allow_null=True,
        help_text="Of an agent step that ran here: what it used; else null. Its transcript: `…/steps/{key}/turns`.",
    )

    def get_due_at(self, step: StepRun) -> datetime | None:
        return step.due_at if step.status == StepStatus.WAITING else None


class NoticeSerializer(serializers.Serializer[Any]):
    """A failed run and a channel by which somebody is told of it."""

    channel = serializers.ChoiceField(TOLD, read_only=True)
    status = serializers.SerializerMethodField(
        help_text="pending, sent or failed: of its message, once it is in one."
    )
    message_id = serializers.UUIDField(
        read_only=True,
        allow_null=True,
        help_text="Sent as webhook-id and in Message-ID. Null: it waits for the next message.",
    )
    attempts = serializers.IntegerField(source="message.attempts", default=0, read_only=True)
    error_code = serializers.CharField(
        source="message.error_code", default=None, read_only=True, allow_null=True
    )
    finished_at = serializers.DateTimeField(
        source="message.finished_at", default=None, read_only=True, allow_null=True
    )

    @extend_schema_field(serializers.ChoiceField(MessageStatus.choices))
    def get_status(self, notice: Notice) -> str:
        return notice.message.status if notice.message else MessageStatus.PENDING


class UpcomingStepSerializer(serializers.Serializer[Any]):
    key = serializers.CharField(read_only=True)
    position = serializers.IntegerField(read_only=True)
    type = serializers.CharField(read_only=True)


class RunSerializer(RunSummarySerializer):
    caused_by = serializers.UUIDField(
        read_only=True, allow_null=True, help_text="The run whose step led to this one's event."
    )
    depth = serializers.IntegerField(
        read_only=True, help_text="How many runs led to it, one after the other."
    )
    trigger = serializers.JSONField(source="payload", read_only=True, help_text="What the event carried.")
    steps = StepRunSerializer(
        many=True, read_only=True, help_text="Those whose turn has come, or never will."
    )
    notices = NoticeSerializer(
        many=True,
        source="told_to",
        read_only=True,
        help_text="Of a failed run: who is told of it, and what came of that.",
    )
    upcoming = serializers.SerializerMethodField(help_text="Steps of a live run whose turn is still to come.")

    @extend_schema_field(UpcomingStepSerializer(many=True))
    def get_upcoming(self, run: Any) -> list[dict[str, Any]]:
        if run.status not in LIVE_RUN:
            return []
        known = {step.position for step in run.steps.all()}
        return [
            {"key": step["key"], "position": position, "type": step["type"]}
            for position, step in enumerate(run.plan, start=1)
            if position not in known
        ]


class LinkSerializer(serializers.Serializer[Any]):
    """An event of a chain with one of its runs; `run_id` is null while it has none, and for ever if it was ignored."""

    event_id = serializers.UUIDField(read_only=True)
    event_status = serializers.ChoiceField(EventStatus.choices, read_only=True)
    trigger_type = serializers.CharField(read_only=True)
    workflow = serializers.UUIDField(source="workflow_id", read_only=True)
    workflow_name = serializers.CharField(read_only=True)
    run_id = serializers.UUIDField(read_only=True, allow_null=True)
    run_status = serializers.ChoiceField(RunStatus.choices, read_only=True, allow_null=True)
    error_code = serializers.CharField(
        read_only=True, allow_null=True, help_text="Of the run, or why the event has none."
    )
    depth = serializers.IntegerField(read_only=True)
    caused_by = serializers.UUIDField(read_only=True, allow_null=True)
    captured_at = serializers.DateTimeField(read_only=True)


class ChainSerializer(serializers.Serializer[Any]):
    trace_id = serializers.SerializerMethodField(help_text="The same all along the chain.")
    path = LinkSerializer(many=True, read_only=True, help_text="From the first cause down to this run.")
    led_to = LinkSerializer(
        many=True,
        read_only=True,
        help_text="What this run led to, each followed by what it led to in turn: at most 100, the nearest.",
    )
    has_more = serializers.BooleanField(
        read_only=True, help_text="It led to more: see the chains of these runs, and /events?caused_by=."
    )

    def get_trace_id(self, chain: CausalChain) -> str:
        return chain.path[-1].trace_id


class TimelineEntrySerializer(serializers.Serializer[Any]):
    seq = serializers.IntegerField(read_only=True, help_text="1, 2, 3 … without gap.")
    type = serializers.ChoiceField([*timeline.RUN_TYPES, *timeline.STEP_TYPES], read_only=True)
    step = serializers.CharField(source="step_key", read_only=True, allow_null=True)
    attempt = serializers.IntegerField(read_only=True, allow_null=True)
    at = serializers.DateTimeField(read_only=True)
    metadata = serializers.DictField(read_only=True)


class TurnSerializer(serializers.Serializer[Any]):
    """One answer of an agent's model, or one tool call. What a model wrote is text and nothing else, whatever it holds."""

    number = serializers.IntegerField(help_text="1, 2, 3 … within the step.")
    kind = serializers.ChoiceField(TurnKind.choices)
    name = serializers.CharField(help_text="Of the model as its provider says it, or of the tool.")
    key = serializers.CharField(help_text="The idempotency key of this turn or call.")
    asked = serializers.DictField(
        allow_null=True,
        help_text="Of a call: its id, its `arguments`, and the `request` that was fixed for it.",
    )
    answer = serializers.JSONField(
        allow_null=True,
        help_text="Of a model: `text`, `calls` and `finish`. Of a call: what the model was told. Null: it goes on.",
    )
    error_code = serializers.CharField(allow_null=True, help_text="Of a call that was refused or failed.")
    input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    cost = serializers.FloatField(allow_null=True, help_text="US dollars; null: no price is known.")
    attempt = serializers.IntegerField(help_text="Of the step, in which it happened.")
    started_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)

    def to_representation(self, instance: Any) -> dict[str, Any]:
        return super().to_representation(turn_as_json(instance))


class ReplayedSerializer(serializers.Serializer[Run]):
    run_id = serializers.UUIDField(source="id", read_only=True)
    replay_of = serializers.UUIDField(source="replay_of_id", read_only=True)


class DecisionSerializer(serializers.Serializer[Any]):
    at = serializers.DateTimeField(read_only=True)
    verdict = serializers.ChoiceField(Verdict.choices, read_only=True)
    source = serializers.CharField(  # type: ignore[assignment]  # a field of the answer, not the base's attribute
        read_only=True, help_text="webhook, manual, record, schedule, or empty."
    )
    subject = serializers.CharField(read_only=True, help_text="What it was about, for people.")
    detail = serializers.JSONField(read_only=True)
    event_id = serializers.UUIDField(
        read_only=True, allow_null=True, help_text="The event; of a duplicate, the first one."
    )
    run_id = serializers.UUIDField(read_only=True, allow_null=True, help_text="The event's newest run.")
    delivery_id = serializers.UUIDField(
        read_only=True, allow_null=True, help_text="Of a webhook, while the inbox has it."
    )
    code = serializers.CharField(read_only=True, allow_null=True, help_text="Of the error catalogue.")
    count = serializers.IntegerField(read_only=True, help_text="How many decisions this line stands for.")


class TallySerializer(serializers.Serializer[Any]):
    verdict = serializers.ChoiceField(Verdict.choices, read_only=True)
    count = serializers.IntegerField(read_only=True)
    is_complete = serializers.BooleanField(read_only=True, help_text="False: there are more.")
    last_at = serializers.DateTimeField(read_only=True)


class TalliesSerializer(serializers.Serializer[Any]):
    verdicts = TallySerializer(many=True, read_only=True)
