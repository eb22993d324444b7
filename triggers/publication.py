"""A workflow's trigger follows the workflow: made when it is created, its config set at every publish.

The row lives as long as the workflow does, so its address and its idempotency keys survive any publish.
"""

from __future__ import annotations

import zlib
from typing import Any
from uuid import UUID

from django.conf import settings

from lightfield.kernel.errors import Problem
from triggers import cursors, tokens, webhook_secrets
from triggers.kinds import base
from triggers.kinds.base import JsonObject, TriggerKind
from triggers.kinds.schedule import Schedule
from triggers.kinds.webhook import Webhook, secrets_in
from triggers.models import Trigger
from triggers.signatures import preset_of
from workflows import hooks
from workflows.models import Workflow, WorkflowVersion

SCHEDULE = Schedule.name
WEBHOOK = Webhook.name


@hooks.on_created
def make_trigger(workflow: Workflow) -> None:
    sealed = tokens.new_token(workflow.pk)
    Trigger.objects.create(
        workflow=workflow,
        shard=shard_of(workflow.pk),
        token_hash=sealed.token_hash,
        token_ciphertext=sealed.token_ciphertext,
    )


@hooks.on_published
def follow_version(workflow: Workflow, version: WorkflowVersion) -> None:
    """Another schedule holds from now on. The same one goes on: an instant just due is not lost to a publish."""
    published: dict[str, Any] = version.definition["trigger"]
    kind, config = published["type"], published.get("config", {})
    trigger = _locked(workflow)
    is_going_on = (kind, config) == (trigger.kind, trigger.config) and trigger.next_due_at is not None
    preset = preset_of(config.get("signature")) if kind == WEBHOOK else None
    trigger.kind, trigger.config = kind, config
    trigger.signing = preset.name if preset else ""
    trigger.save(update_fields=["kind", "config", "signing"])
    if kind != SCHEDULE:
        cursors.forget(trigger)
    elif not is_going_on:
        cursors.begin(trigger)


@hooks.on_resumed
def begin_anew(workflow: Workflow) -> None:
    """What went by while it was paused is not caught up."""
    trigger = _locked(workflow)
    if trigger.kind == SCHEDULE:
        cursors.begin(trigger)


@hooks.on_paused
@hooks.on_archived
def stop(workflow: Workflow) -> None:
    cursors.stop(_locked(workflow))


@hooks.on_storing
def refuse_to_store(definition: JsonObject) -> list[Problem]:
    kind, config = _trigger_of(definition)
    problems = kind.unstorable(config) if kind else []
    if not problems and not isinstance(kind, Webhook):
        problems = _misplaced_secret(config)
    return _placed(problems)


@hooks.on_taking
def keep_secret(definition: JsonObject) -> tuple[JsonObject, hooks.Deposit | None]:
    """A secret is kept encrypted beside the trigger, and a draft never holds one."""
    kind, config = _trigger_of(definition)
    if kind is None:
        return definition, None
    config, secret = kind.taken_out(config)
    stored = {**definition, "trigger": {**definition["trigger"], "config": config}}
    if secret is None:
        return stored, None

    def deposit(workflow: Workflow, by: str) -> None:
        webhook_secrets.set_by_draft(_locked(workflow), config["signature"], secret, by=by)

    return stored, deposit


@hooks.on_publishing
def refuse_to_publish(definition: JsonObject, workflow: Workflow) -> list[Problem]:
    kind, config = _trigger_of(definition)
    if kind is None:
        return []
    problems = kind.unpublishable(config)
    if not problems and kind.name == WEBHOOK:
        problems = webhook_secrets.missing(workflow, config.get("signature"))
    return _placed(problems)


def _locked(workflow: Workflow) -> Trigger:
    """Ticks of it are over, and none begin before this transaction ends."""
    return Trigger.objects.select_for_update(no_key=True).get(workflow=workflow)


def shard_of(workflow_id: UUID) -> int:
    """0 to LIGHTFIELD_SHARDS - 1, the same for every event of a workflow."""
    return zlib.crc32(workflow_id.bytes) % int(settings.LIGHTFIELD_SHARDS)


def _trigger_of(definition: JsonObject) -> tuple[TriggerKind | None, JsonObject]:
    """The kind that a draft names, if it names one that is installed, and its config as written."""
    trigger = definition.get("trigger") or {}
    return base.find(trigger.get("type")), trigger.get("config") or {}


def _misplaced_secret(config: JsonObject) -> list[Problem]:
    """A webhook's secret under another type, perhaps a mistyped one: nobody would take it out of the draft."""
    return [
        Problem(pointer, "config.invalid_secret", "Only a webhook has a secret.")
        for pointer in secrets_in(config.get("signature"), "/signature")
    ]


def _placed(problems: list[Problem]) -> list[Problem]:
    """Problems of a config, with pointers into the whole definition."""
    return [
        Problem(f"/trigger/config{problem.pointer}", problem.code, problem.detail) for problem in problems
    ]
