"""What each limit is about, and what happens beyond it. The numbers are read from the code; here stand only words."""

from __future__ import annotations

from typing import Final

# Variables of the installation, ports left out: what it limits, and what happens beyond.
VARIABLES: Final[dict[str, tuple[str, str]]] = {
    "LIGHTFIELD_LEASE_SECONDS": (
        "how long a step of a dead worker is left alone",
        "its step runs again, `step.lost`",
    ),
    "LIGHTFIELD_SWEEP_SECONDS": ("how soon a lost message is rung again", "–"),
    "LIGHTFIELD_SHARDS": ("parts into which workflows are spread for dispatch", "–"),
    "LIGHTFIELD_HTTP_WINDOW": (
        "slow steps in flight in the lane `http`; of one workflow five sixths",
        "they wait, `ready`",
    ),
    "LIGHTFIELD_AI_WINDOW": (
        "slow steps in flight in the lane `ai`; of one workflow five sixths",
        "they wait, `ready`",
    ),
    "LIGHTFIELD_MOST_QUEUED": ("steps on their way to a worker, of each lane", "they wait, `ready`"),
    "LIGHTFIELD_CELL_MEMORY_MB": ("memory of a cell, MiB", "the cell ends; after three `step.worker_lost`"),
    "LIGHTFIELD_MAX_DEPTH": (
        "runs that lead to a run, one after the other",
        "the event is ignored, `run.depth_exceeded`",
    ),
    "LIGHTFIELD_INBOX_MOST": ("deliveries kept of each workflow", "the oldest are pruned"),
    "LIGHTFIELD_INBOX_DAYS": ("days that a delivery is kept", "it is pruned"),
    "LIGHTFIELD_WEBHOOK_RATE": ("webhooks a second to one address", "429 `webhook.throttled`"),
    "LIGHTFIELD_WEBHOOK_BURST": ("webhooks at once to one address", "429 `webhook.throttled`"),
    "LIGHTFIELD_SENDER_RATE": ("webhooks a second of one sender", "429 `webhook.throttled`"),
    "LIGHTFIELD_SENDER_BURST": ("webhooks at once of one sender", "429 `webhook.throttled`"),
    "LIGHTFIELD_REFUSED_RATE": ("webhooks in vain a second of one sender", "429 `webhook.throttled`"),
    "LIGHTFIELD_REFUSED_BURST": ("webhooks in vain at once of one sender", "429 `webhook.throttled`"),
    "LIGHTFIELD_WAITERS": ("requests with `?wait` in one web process", "answered 202 at once"),
    "LIGHTFIELD_CIRCUIT_CALLS": ("calls to a host in ten seconds before it can count as failing", "–"),
    "LIGHTFIELD_CIRCUIT_SHARE": (
        "share of a host's calls that fail",
        "its requests wait, `http.circuit_open`; no attempt is counted",
    ),
    "LIGHTFIELD_CIRCUIT_PROBE_SECONDS": (
        "until a failing host is probed, at first",
        "later, up to 60 s apart",
    ),
    "LIGHTFIELD_CIRCUIT_RAMP": (
        "requests a second, more each second, to a host that is back",
        "the others wait, `http.circuit_open`",
    ),
    "LIGHTFIELD_CIRCUIT_HOLD_SECONDS": (
        "seconds that a step waits for a failing host",
        "the step fails, `http.circuit_open`",
    ),
    "LIGHTFIELD_RETRY_SHARE": (
        "retries to one host by one process, as a share of first attempts",
        "they wait for a place, `http.retry_budget`",
    ),
    "LIGHTFIELD_RETRY_FLOOR": (
        "retries a second to one host by one process, whatever the share",
        "they wait for a place, `http.retry_budget`",
    ),
    "LIGHTFIELD_NOTICE_SENDERS": ("failure notices being sent at once", "they wait, `pending`"),
    "LIGHTFIELD_POOL_SIZE": (
        "database connections of one process",
        "503 `engine.database_unavailable`, or the step waits",
    ),
}

# Fields of a definition whose excess is no problem of the document, but of a run.
BEYOND: Final[dict[str, str]] = {
    "settings.concurrency": "its other slow steps wait, `ready`",
    "settings.timeout_seconds": "the run fails, `run.timeout`",
    "settings.pause_after_failures": "the workflow is paused, `workflow.failing`",
    "settings.on_failure.every_seconds": "failures are told together",
    "steps[].retry.max_attempts": "the step fails with the code of its last attempt",
    "steps[].retry.cap_seconds": "no wait is longer",
    "http_request.timeout_seconds": "`http.timeout`",
    "sleep.seconds": "`config.invalid`",
    "ai_agent.limits.turns": "`ai.limit_turns`",
    "ai_agent.limits.tool_calls": "`ai.limit_tool_calls`",
    "ai_agent.limits.tokens": "`ai.limit_tokens`",
    "ai_agent.limits.seconds": "`ai.limit_seconds`",
    "ai_agent.limits.cost": "`ai.limit_cost`",
}
OUTSIDE: Final = "out of range: 422 `config.invalid_definition`"

# Constants: `module:name`, what it limits with its unit, and what happens beyond.
CONSTANTS: Final[dict[str, tuple[tuple[str, str, str], ...]]] = {
    "What comes in": (
        ("lightfield.kernel.strict_json:MAX_BYTES", "a JSON body, bytes", "413 `payload.too_large`"),
        ("lightfield.kernel.strict_json:MAX_DEPTH", "nesting of JSON, levels", "400 `payload.too_deep`"),
        ("lightfield.kernel.strict_json:MAX_NODES", "values in one JSON", "400 `payload.too_many_nodes`"),
        (
            "lightfield.kernel.strict_json:MAX_KEY_CHARS",
            "a key in JSON, characters",
            "400 `payload.key_too_long`",
        ),
        ("lightfield.web_worker:BODY_SECONDS", "until a body has arrived, seconds", "408 `payload.too_slow`"),
        ("triggers.waiting:MOST_SECONDS", "`?wait`, seconds", "202, as without it"),
        ("lightfield.access.pagination:MAX_LIMIT", "`?limit` of a list", "400 `request.invalid`"),
        (
            "triggers.signatures.verifying:TOLERANCE_SECONDS",
            "age of a signed webhook, either way, seconds",
            "404",
        ),
        (
            "triggers.signatures.verifying:MOST_LIVE",
            "secrets that verify at once",
            "409 `rotation.in_progress`",
        ),
        (
            "triggers.webhook_secrets:LONGEST_GRACE_SECONDS",
            "grace of an old secret, seconds",
            "422 `request.invalid`",
        ),
        (
            "triggers.decisions.collecting:MOST_OF_A_TRIGGER",
            "decisions kept of each trigger",
            "the oldest go",
        ),
    ),
    "What people write": (
        ("workflows.validation:PROBLEMS_LIMIT", "problems told at once", "the others after these are mended"),
        (
            "triggers.schedules.config:CRON_LENGTH_LIMIT",
            "a cron line, characters",
            "422 `schedule.invalid_cron`",
        ),
        ("workflows.templating.faults:SOURCE_LIMIT", "a template, characters", "422 `template.limit`"),
        (
            "workflows.templating.data_frame:MOST_PIECES",
            "pieces of data in a text that tells them apart",
            "`template.limit`",
        ),
        (
            "executions.steps.ai_agent:MOST_CHARACTERS",
            "instructions and prompt of an agent with their data, characters",
            "`ai.context_too_long`",
        ),
        (
            "executions.agents.measuring:MOST_BYTES",
            "an agent's conversation as it is sent, with its tools' answers, bytes",
            "`ai.context_too_long`",
        ),
        (
            "workflows.templating.faults:EXPRESSION_LIMIT",
            "between one pair of braces, characters",
            "422 `template.limit`",
        ),
        (
            "workflows.templating.faults:TAGS_LIMIT",
            "outputs and tags of one template",
            "422 `template.limit`",
        ),
        ("workflows.templating.faults:LIST_LIMIT", "items that a filter reads or makes", "`template.limit`"),
        (
            "workflows.templating.faults:NAMES_LIMIT",
            "what `assign` and `capture` hold, characters and items",
            "`template.limit`",
        ),
        ("workflows.templating.faults:WORK_LIMIT", "units of work for one config", "`template.limit`"),
        (
            "lightfield.access.credential_fields:LONGEST",
            "the value of a secret, characters",
            "422 `secret.invalid`",
        ),
        ("workflows.templating.faults:DEPTH_LIMIT", "nesting in a template", "422 `template.limit`"),
        ("workflows.templating.faults:LOOP_LIMIT", "iterations of all loops of a config", "`template.limit`"),
        ("workflows.templating.faults:TEXT_LIMIT", "what a template writes, characters", "`template.limit`"),
        (
            "workflows.templating.faults:VALUE_LIMIT",
            "what a filter reads or makes, characters",
            "`template.limit`",
        ),
        ("workflows.templating.faults:CONFIG_LIMIT", "a rendered config, characters", "`template.limit`"),
        ("executions.steps.condition:DEPTH_LIMIT", "levels of `all` and `any`", "422 `config.invalid`"),
        ("executions.steps.condition:RULES_LIMIT", "rules in one `all` or `any`", "422 `config.invalid`"),
        ("crm.steps.find_records:MOST_RECORDS", "records that a step finds", "422 `config.invalid`"),
        (
            "crm.steps.find_records:MOST_BYTES",
            "JSON of the records that a step finds, bytes",
            "`step.output_too_large`",
        ),
        (
            "crm.steps.filters:VALUE_CHARS",
            "a text that `find_records` looks for, characters",
            "`config.invalid`",
        ),
        ("crm.steps.filters:MOST_VALUES", "values in one list of `find_records`", "`config.invalid`"),
        ("crm.values:CUSTOM_BYTES", "`custom` of a record, bytes", "422 `record.invalid`"),
    ),
    "Runs and steps": (
        ("executions.engine:FAST_SECONDS", "a fast step, seconds", "`step.timeout`"),
        (
            "executions.leases:OVERRUN_SECONDS",
            "beyond a slow step's own limit, seconds",
            "its worker is ended",
        ),
        ("executions.dispatcher:MOST_TRIES", "tries to make a run of an event", "the event is `poison`"),
        (
            "executions.outcomes:MOST_LOSSES_ALONE",
            "processes that a step ends while alone",
            "`step.worker_lost`",
        ),
        ("executions.outcomes:MOST_LOSSES", "workers that a step loses in all", "`step.worker_lost`"),
        ("executions.steps.log:MESSAGE_LIMIT", "a logged message, characters", "`config.invalid`"),
        (
            "workflows.retry_policy:RETRY_AFTER_CAP_SECONDS",
            "what `Retry-After` may ask for, seconds",
            "so long and no longer",
        ),
    ),
    "What goes out": (
        ("executions.egress.client:MAX_BYTES", "the body of an answer, bytes", "`http.too_large`"),
        (
            "executions.steps.http_answers:MAX_KEPT_BYTES",
            "what a step keeps of a body, bytes",
            'its beginning, with `"truncated": true`',
        ),
        ("executions.egress.client:MAX_REDIRECTS", "redirects of one attempt", "`http.redirect`"),
        ("executions.egress.urls:MAX_URL_CHARS", "a URL, characters", "`egress.invalid_url`"),
        ("executions.egress.headers:MAX_FIELDS", "headers sent", "`egress.invalid_header`"),
        (
            "executions.egress.conversation:MAX_HEAD_BYTES",
            "the headers of an answer, bytes",
            "`http.invalid_answer`",
        ),
        ("executions.steps.http_request:MAX_BODY_BYTES", "a request's body, bytes", "`config.invalid`"),
        ("executions.agents.provided:LONGEST_NAME", "a model's name, characters", "`config.invalid`"),
        (
            "executions.agents.model_errors:MESSAGE_CHARS",
            "what is kept of a provider's message, characters",
            "its beginning",
        ),
    ),
    "An agent's tools": (
        ("executions.agents.tools.arguments:MOST_BYTES", "arguments of one call, bytes", "`config.invalid`"),
        (
            "executions.agents.tools.cutting:MOST_BYTES",
            "what one call tells unless its permission says otherwise, bytes",
            "cut, with a mark",
        ),
        (
            "executions.agents.tools.cutting:LARGEST_BYTES",
            "`max_bytes` of a permission, bytes",
            "422 `config.invalid`",
        ),
        ("executions.agents.tools.http:MOST_HOSTS", "hosts of one permission", "422 `config.invalid`"),
        ("executions.agents.tools.http:SECONDS", "one request, seconds", "`http.timeout`, tried again"),
    ),
    "Failure notices": (
        ("executions.notices.outgoing:POLICY.max_attempts", "tries of one message", "it is `failed`"),
        ("executions.notices.outgoing:POLICY.cap_seconds", "between two tries, seconds", "no wait is longer"),
        (
            "executions.notices.posting:TIMEOUT_SECONDS",
            "one try by webhook, seconds",
            "`http.timeout`, tried again",
        ),
        ("executions.notices.gathering:AT_ONCE", "failed runs in one message", "the rest with the next one"),
        ("executions.notices.texts:MOST_RUNS", "runs told one by one in a message", "the others are counted"),
    ),
}
