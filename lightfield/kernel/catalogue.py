"""The error catalogue: every code with its class, meaning and remedy.

A code is `namespace.name` and never changes once released. The admin's pages and the API's errors take their
words from this table. `retryable` is the class a code has by default; a step's retry settings may opt a
status in. `status` is the HTTP status used when the code answers a request (None: it never does).

`docs/errors.md` is this table, written by `bin/manage errors --write`; `GET /api/v1/errors` and `/errors/<code>` show it.
An app that brings step types adds its codes by `add`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Entry:
    code: str
    retryable: bool
    status: int | None
    meaning: str
    remedy: str

    @property
    def namespace(self) -> str:
        return self.code.partition(".")[0]


FORM: Final = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")


# What a namespace is about, in the order of the documentation.
NAMESPACES: Final = {
    "payload": "What came in could not be read",
    "request": "The call itself",
    "webhook": "Senders of webhooks",
    "auth": "Who asks",
    "idempotency": "Keys of requests",
    "delivery": "What stands in the inbox",
    "workflow": "Workflows and their status",
    "config": "What people write in definitions",
    "template": "Templates",
    "record": "Records of the CRM, and the steps that write them; those without a status stand in `errors` only",
    "trigger": "What starts a workflow, or does not",
    "schedule": "Starting by the clock",
    "secret": "What is kept encrypted",
    "rotation": "A secret or an address takes the place of another",
    "http": "A request went out, or tried to; `url_host`, `status_code`, `attempt` and `retry_after` are in the metadata",
    "egress": "Refused before anything was sent",
    "ai": "Agent steps: the model, its tools and its limits",
    "run": "Runs",
    "step": "Steps, whatever their type",
    "notice": "Telling people of failures",
    "engine": "The machinery",
}


def _table(*entries: Entry) -> dict[str, Entry]:
    table = {entry.code: entry for entry in entries}
    if len(table) != len(entries):
        raise ValueError("a code stands twice in the error catalogue")
    if strangers := {entry.namespace for entry in entries} - set(NAMESPACES):
        raise ValueError(f"namespaces of the error catalogue that nobody described: {sorted(strangers)}")
    return table


# A table: one line per code.
# fmt: off
CATALOGUE: Final[dict[str, Entry]] = _table(
    # payload.*: what came in could not be read
    Entry("payload.invalid_json", False, 400, "The body is not valid JSON.", "Send one JSON value in UTF-8."),
    Entry("payload.not_utf8", False, 400, "The body is not valid UTF-8.", "Encode the body as UTF-8 without a byte order mark."),
    Entry("payload.too_deep", False, 400, "The JSON is nested too deeply.", "Nest objects and arrays at most 32 levels deep."),
    Entry("payload.too_many_nodes", False, 400, "The JSON has too many values.", "Send at most 10,000 values in one body."),
    Entry("payload.key_too_long", False, 400, "A key in the JSON is too long.", "Use keys of at most 256 characters."),
    Entry("payload.duplicate_key", False, 400, "An object in the JSON has the same key twice.", "Send each key once."),
    Entry("payload.nul_character", False, 400, "A string holds the NUL character.", "Remove U+0000: PostgreSQL cannot store it."),
    Entry("payload.lone_surrogate", False, 400, "A string holds half of a surrogate pair.", "Send complete Unicode characters."),
    Entry("payload.number_out_of_range", False, 400, "A number is too large to be kept exactly.", "Send integers within 64 bits and exponents within 308, or send a string."),
    Entry("payload.not_a_number", False, 400, "NaN and infinities are not JSON.", "Send null or a string instead."),
    Entry("payload.too_large", False, 413, "The body is larger than 1 MiB.", "Send a smaller body, or a link to the data."),
    Entry("payload.unsupported_type", False, 415, "The content type is not JSON.", "Send application/json or a type ending in +json."),
    Entry("payload.unsupported_encoding", False, 415, "The body is compressed.", "Send the body without Content-Encoding."),
    Entry("payload.too_slow", False, 408, "The body did not arrive in time.", "Send the whole body within 10 seconds."),
    Entry("payload.incomplete", False, 400, "The body ended before its announced length.", "Send the whole body again."),
    # request.*: the call itself
    Entry("request.invalid", False, 400, "The request has wrong or unknown fields.", "Follow the pointers in `errors`."),
    Entry("request.not_found", False, 404, "There is nothing at this address.", "Check the id and your rights." ),
    Entry("request.method_not_allowed", False, 405, "This address does not take that method.", "See /api/docs for the methods."),
    Entry("request.length_required", False, 411, "The body's length is not announced.", "Send Content-Length instead of a chunked body."),
    Entry("request.conflict", False, 409, "Something else changed it at the same moment.", "Read it again and repeat the request if it still makes sense."),
    Entry("request.malformed", False, 400, "The request is not valid HTTP/1.1.", "Correct the request line, the headers or the chunks."),
    Entry("request.line_too_long", False, 414, "The address is too long.", "Send a request line of at most 4,094 bytes."),
    Entry("request.headers_too_large", False, 431, "The headers are too many or too large.", "Send at most 100 headers of at most 8,190 bytes each."),
    Entry("request.unsupported_transfer_coding", False, 501, "The body's transfer coding is not supported.", "Send Transfer-Encoding: chunked, or Content-Length."),
    Entry("request.too_slow", False, 408, "The headers did not arrive in time.", "Send all headers within 15 seconds."),
    Entry("request.throttled", False, 429, "Too many requests.", "Wait for Retry-After seconds."),
    Entry("request.invalid_header", False, 400, "A header cannot be read.", "Correct the header named in the detail."),
    # webhook.*: senders
    Entry("webhook.throttled", True, 429, "Too many requests came to this address or from this sender.", "Send again after Retry-After seconds."),
    # auth.*
    Entry("auth.missing", False, 401, "No API key or session was given.", "Send Authorization: Bearer lf_… or sign in."),
    Entry("auth.invalid", False, 401, "The API key is not valid.", "Create a key with bin/manage create_api_key."),
    Entry("auth.expired", False, 401, "The API key has expired or was revoked.", "Create a new key."),
    Entry("auth.forbidden", False, 403, "The key or user lacks the right for this.", "Use a key with a wider scope."),
    Entry("auth.csrf", False, 403, "The session request carries no valid CSRF token.", "Send the X-CSRFToken header, or use an API key."),
    # idempotency.*
    Entry("idempotency.body_mismatch", False, 409, "The idempotency key was used with another body.", "Use a new key for a new request."),
    Entry("idempotency.key_reused", False, 422, "The idempotency key was used with another request.", "Use a new key for a new request."),
    Entry("idempotency.in_flight", False, 409, "A request with this idempotency key is being answered right now.", "Repeat the request a little later."),
    Entry("idempotency.key_invalid", False, 400, "The idempotency key is empty, too long or has control characters.", "Send 1 to 255 visible characters."),
    # delivery.*: what stands in the inbox
    Entry("delivery.no_payload", False, 409, "Nothing can be sent again: the delivery has no payload.", "Take one that was accepted, or that repeats one that was, and whose event is still there."),
    # workflow.*, config.*, template.*: what people write
    Entry("workflow.illegal_transition", False, 409, "The workflow's status does not allow this.", "Look at the status and at what it allows."),
    Entry("workflow.not_published", False, 409, "The workflow has no published version, or is archived.", "Publish the workflow first; in place of an archived one create another."),
    Entry("workflow.archived", False, None, "The workflow was archived before the event was dispatched.", "Create a workflow in its place and send the event again."),
    Entry("workflow.failing", False, None, "The workflow was paused: as many runs in a row failed as its pause_after_failures allows.", "Mend what fails, then resume or publish; the runs that failed can be replayed."),
    Entry("workflow.conflict", False, 409, "The workflow was changed by somebody else meanwhile.", "Read it again and repeat the change."),
    Entry("config.invalid_definition", False, 422, "The definition has wrong or unknown fields.", "Follow the pointers in `errors`."),
    Entry("config.unknown_step_type", False, 422, "There is no such step type.", "Use one that the admin lists beside the editor, or install the app that brings it."),
    Entry("config.unknown_trigger_type", False, 422, "There is no such trigger type.", "Use webhook, record, schedule or manual."),
    Entry("config.missing_secret", False, 422, "The signature scheme needs a secret, and none is live.", "Send signature.secret with the draft, or make one by POST …/webhook-secrets or on the trigger's page."),
    Entry("config.invalid_secret", False, 422, "The secret does not have the form that the signature scheme needs.", "Send the secret as the sender shows it; the detail says what it looks like."),
    Entry("config.duplicate_key", False, 422, "Two steps have the same key.", "Give every step its own key."),
    Entry("config.reserved_key", False, 422, "The step's key is a reserved word.", "Choose another key."),
    Entry("config.invalid", False, 422, "The config of a step or trigger is not valid; of a step, once its templates are filled in.", "Correct the field at the pointer or in the metadata, or the data it comes from."),
    Entry("config.template_not_allowed", False, 422, "A template stands where the value has to be fixed when the workflow is published.", "Write the value itself; what depends on data belongs into a place that takes templates."),
    Entry("config.missing_step_type", False, None, "The step's type is no longer installed.", "Install the app that brings the type, then replay."),
    Entry("template.syntax", False, 422, "A template cannot be read.", "Correct the template at the pointer." ),
    Entry("template.unknown_reference", False, 422, "A template refers to an unknown or later step.", "Refer to trigger, run, workflow or an earlier step."),
    Entry("template.unknown_field", False, None, "A template reads a field that the step or trigger is not known to give.", "Correct the name, or the sample; nothing is refused, and the run fails with template.unresolved if the field is not there."),
    Entry("template.unknown_filter", False, 422, "A template uses a filter that is not allowed.", "Use one of the filters listed in docs/templates.md."),
    Entry("template.unresolved", False, 422, "A template refers to a value that is not there.", "Correct the path, or add | default: to it."),
    Entry("template.limit", False, 422, "A template is too large or does too much.", "Simplify the template or its data."),
    Entry("template.failed", False, 422, "A template could not be rendered.", "Correct the filter's arguments or the data."),
    # record.*: what people, programs and steps write into the CRM. Those without a status stand in `errors`, or end a step
    Entry("record.invalid", False, 422, "The record has wrong or unknown fields.", "Follow the pointers: in `errors` of an answer, in `problems` of a step's error."),
    Entry("record.duplicate", False, 409, "Another record has this natural key.", "Change that record, or give this one another value at the pointer."),
    Entry("record.missing_field", False, None, "A field that the record needs was not sent.", "Send the field at the pointer."),
    Entry("record.unknown_field", False, None, "The record has no such field.", "Correct the name, or put the value into `custom`."),
    Entry("record.read_only_field", False, None, "The field is set by the system.", "Leave the field out."),
    Entry("record.invalid_value", False, None, "The field cannot have this value.", "Send a value of the kind that /api/docs names."),
    Entry("record.not_found", False, None, "There is no record with this id.", "Send the id of a record that exists."),
    Entry("record.ambiguous", False, None, "More than one record matches, so none was changed.", "Match by what only one record has, such as an e-mail address, or mend the records that are alike."),
    # trigger.*: what starts a workflow
    Entry("trigger.unknown_entity", False, 422, "No watched model has this name.", "Name one that the detail and GET /api/v1/watchables list, or watch the model as docs/howto/watch-your-models.md says."),
    Entry("trigger.unknown_field", False, 422, "The watched model has no such field, or one that is set at every save.", "Name one of the fields that the detail lists."),
    # schedule.*: when a workflow starts by itself
    Entry("schedule.invalid_cron", False, 422, "The cron line cannot be read.", "Write five fields: minute hour day month weekday."),
    Entry("schedule.unknown_timezone", False, 422, "There is no such time zone.", "Use an IANA name such as Europe/Berlin or UTC."),
    Entry("schedule.never_due", False, 422, "The schedule is never due.", "Choose days that exist, or every month with the day: it takes the last day of short months."),
    Entry("schedule.set_aside", False, None, "The schedule could not be caught up three times in a row; it fires no more.", "Look for schedule_not_caught_up in the fast worker's log; then pause and resume the workflow, or publish it corrected."),
    # secret.*: what is kept encrypted
    Entry("secret.unreadable", False, 500, "A stored secret cannot be decrypted.", "Put the key it was encrypted with back into LIGHTFIELD_ENCRYPTION_KEYS."),
    Entry("secret.no_scheme", False, 409, "The workflow's webhook has no signature scheme, so it needs no secret.", "Set signature.scheme in the trigger first."),
    Entry("secret.invalid", False, 422, "The secret has wrong or unknown fields.", "Follow the pointers in `errors`."),
    Entry("secret.duplicate", False, 409, "Another secret has this name.", "Choose another name, or change the one that has it."),
    Entry("secret.value_needed", False, 422, "A secret goes to a new host or gets a new name only together with its value.", "Send `value` with the change: who does not know a secret cannot send it elsewhere."),
    Entry("secret.in_use", False, 409, "Published workflows use the secret.", "Publish them without it first; with ?force=true it is deleted, and their runs fail with secret.unknown."),
    Entry("secret.not_allowed_here", False, 422, "A secret stands where it could be seen.", "Write {{ secret.name }} without filters, in a header's value or in `auth` of a step."),
    Entry("secret.written_out", False, None, "A definition seems to hold a secret as it is.", "Replace it at its issuer: whoever may see the workflow has read it. Make a secret of it in the admin or by POST /api/v1/credentials, and write {{ secret.name }} in its place. Nothing is refused."),
    Entry("secret.unknown", False, 422, "There is no secret of this name.", "Make it in the admin or by POST /api/v1/credentials, or correct the name."),
    Entry("secret.wrong_host", False, 422, "A secret was to go to a host that it is not bound to; nothing was sent.", "Correct the URL, or bind the secret to that host, with port unless it is 443. Without https it goes only to what LIGHTFIELD_EGRESS_ALLOW names as host:port."),
    # rotation.*: a secret or an address takes the place of another
    Entry("rotation.in_progress", False, 409, "The one before the present one is still valid, and there can be two at a time.", "End the older one first, or wait until it ends; with 0 seconds all older ones end at once."),
    # http.*: a request went out, or tried to. `url_host`, `status_code`, `attempt` and `retry_after` are in the metadata
    Entry("http.timeout", True, None, "No complete answer within the step's timeout.", "Raise timeout_seconds, or ask the receiver why it is slow."),
    Entry("http.dns_failed", True, None, "The host name could not be looked up.", "Check the host name in the URL."),
    Entry("http.connect_failed", True, None, "The host does not accept connections.", "Check host and port, and that the receiver is up."),
    Entry("http.tls_failed", False, None, "The host's certificate or TLS version is not acceptable.", "Have the receiver renew or correct its certificate."),
    Entry("http.connection_lost", True, None, "The connection broke before the whole answer had arrived.", "Look at the receiver's log: it may have acted."),
    Entry("http.outcome_unknown", False, None, "The request may have been carried out; no answer came, and on_unknown is fail.", "Ask the receiver, then replay: the same idempotency key is sent again."),
    Entry("http.unavailable", True, None, "The receiver answered 502, 503 or 504.", "Nothing, if a retry succeeds; else ask the receiver."),
    Entry("http.throttled", True, None, "The receiver answered 429, too many requests.", "Lower the workflow's concurrency, or ask for a higher limit."),
    Entry("http.circuit_open", True, None, "The host fails for many runs; nothing was sent, and no attempt was used up.", "Nothing: it goes out when the host answers again. GET /api/v1/circuits and the admin say what it fails with. A step that waited for LIGHTFIELD_CIRCUIT_HOLD_SECONDS fails: replay it."),
    Entry("http.retry_budget", True, None, "The host gets as many retries as it may already; nothing was sent, and no attempt was used up.", "Nothing: it goes out when its turn comes. Ask the receiver why so many requests fail."),
    Entry("http.request_timeout", True, None, "The receiver answered 408: it did not get the request in time.", "Send less, or ask the receiver."),
    Entry("http.too_early", True, None, "The receiver answered 425: it does not want to risk a replayed request.", "Nothing: a retry usually succeeds."),
    Entry("http.client_error", False, None, "The receiver refused the request with a 4xx status.", "Correct the request; the metadata has the beginning of the answer."),
    Entry("http.server_error", False, None, "The receiver failed with a 5xx status.", "Ask the receiver; list the status in retry_on_status if retrying is safe and helps."),
    Entry("http.redirect", False, None, "The receiver answered with a redirect that is not followed.", "Use the final URL, or set allow_redirects."),
    Entry("http.unexpected_status", False, None, "The receiver answered with a status outside 200 to 599.", "Check that the URL is an HTTP endpoint."),
    Entry("http.too_large", False, None, "The answer has more than 1 MiB.", "Ask the receiver for less, in pages if it can."),
    Entry("http.bad_encoding", False, None, "The answer's content encoding cannot be undone.", "Have the receiver send gzip, deflate or nothing."),
    Entry("http.invalid_answer", False, None, "The answer is not valid HTTP/1.1.", "Check that host and port speak HTTP."),
    # egress.*: refused before anything was sent
    Entry("egress.invalid_url", False, None, "The URL cannot be used.", "Give an absolute http or https URL without user name."),
    Entry("egress.denied_scheme", False, None, "Only http and https are allowed.", "Use an http or https URL."),
    Entry("egress.denied_address", False, None, "The host leads to an address that steps may not reach.", "Use a public address, or list the host in LIGHTFIELD_EGRESS_ALLOW."),
    Entry("egress.denied_port", False, None, "The port is not one that steps may reach.", "Use 80, 443, 8080 or 8443, or list host:port in LIGHTFIELD_EGRESS_ALLOW."),
    Entry("egress.denied_method", False, None, "The method is not allowed.", "Use GET, POST, PUT, PATCH or DELETE."),
    Entry("egress.invalid_header", False, None, "A header cannot be sent.", "Remove or correct the header named in the message."),
    # ai.*: agents and the models that they ask
    Entry("ai.no_model", False, None, "No model is named, and none is set for the installation.", "Name one in the step's config, or set LIGHTFIELD_AI_MODEL for the installation. A step with a base_url names its own."),
    Entry("ai.no_key", False, None, "There is no API key for the model.", "Give the step an api_key with a secret, or set LIGHTFIELD_AI_API_KEY for the workers."),
    Entry("ai.no_price", False, None, "The cost is limited, and the model's price is not known.", "Add the model to LIGHTFIELD_AI_PRICES, or leave limits.cost out."),
    Entry("ai.unknown_tool", False, 422, "There is no such kind of tool.", "Use one that the detail names, or install the app that brings it."),
    Entry("ai.exposed_data", False, None, "Private data, input from outside and a tool that sends meet in one agent step.", "Split it: one step reads and decides, with an output_schema and no tool that sends; a later one sends what the first gave. Or permit fewer entities and hosts. Nothing is refused."),
    Entry("ai.data_in_instructions", False, None, "Data is filled into an agent's instructions.", "Put the data into the prompt and keep the instructions to your own words. Nothing is refused."),
    Entry("ai.wide_permissions", False, None, "An agent step permits more than a task can need.", "Name the entities and operations that the task needs. Nothing is refused."),
    Entry("ai.rate_limited", True, None, "The provider takes no more requests for now (429).", "Nothing, if a retry succeeds; else raise the limit at the provider or lower the workflow's concurrency."),
    Entry("ai.overloaded", True, None, "The provider or its model is overloaded.", "Nothing, if a retry succeeds."),
    Entry("ai.unavailable", True, None, "The provider failed to answer the request (5xx).", "Nothing, if a retry succeeds; else look at the provider's status page."),
    Entry("ai.quota_exhausted", False, None, "The account at the provider has no credit or quota left.", "Pay, or raise the limit at the provider, then replay the run."),
    Entry("ai.unauthorized", False, None, "The provider refused the API key.", "Correct the key, or what it may do."),
    Entry("ai.unknown_model", False, None, "The provider knows no such model.", "Correct the model's name."),
    Entry("ai.request_refused", False, None, "The provider refused the request as it is.", "See the provider's message in the metadata."),
    Entry("ai.context_too_long", False, None, "What the model is to read is longer than it can take, or than an agent may send.", "Give it less data, or tools that answer less, or a model with a longer context."),
    Entry("ai.content_filtered", False, None, "The provider withheld the answer.", "Change what is asked, or the provider's filter."),
    Entry("ai.invalid_answer", True, None, "The answer is not what the provider's API promises.", "Nothing, if a retry succeeds; else look at what answers at the base URL."),
    Entry("ai.invalid_output", False, None, "The model's output did not fit its schema, although it was told what is wrong.", "Make the schema simpler, say in the instructions what is wanted, or take another model."),
    Entry("ai.invalid_arguments", False, None, "The agent called a tool with arguments that the tool does not take; the model was told why.", "Nothing, if it corrected them; else say in the instructions what is wanted, or take another model."),
    Entry("ai.permission_denied", False, None, "The agent tried what its step does not permit.", "Permit it in the step's tools if it is meant; else nothing: it was not done."),
    Entry("ai.limit_turns", False, None, "The agent needed more turns than its limit.", "Raise limits.turns, or give it a smaller task."),
    Entry("ai.limit_tool_calls", False, None, "The agent made more tool calls than its limit.", "Raise limits.tool_calls, or give it a smaller task."),
    Entry("ai.limit_tokens", False, None, "The agent used more tokens than its limit.", "Raise limits.tokens, or give it less to read."),
    Entry("ai.limit_seconds", False, None, "The agent took longer than its limit.", "Raise limits.seconds, or give it a smaller task."),
    Entry("ai.limit_cost", False, None, "The agent cost more than its limit.", "Raise limits.cost, or take a cheaper model."),
    # run.*, step.*, engine.*: the machinery
    Entry("run.illegal_transition", False, 409, "The run's status does not allow this.", "Look at the run's status."),
    Entry("run.not_latest", False, 409, "The run has been replayed already.", "Replay the newest run of the event."),
    Entry("run.cancelled", False, None, "The run was cancelled by a person.", "Replay it if that was a mistake." ),
    Entry("run.timeout", False, None, "The run took longer than the workflow's timeout_seconds.", "Raise the timeout or find the slow step."),
    Entry("run.depth_exceeded", False, None, "The event lies too deep in a chain of workflows that start each other.", "Break the loop between the workflows: the chain of a run shows it. A chain that is meant to be so long needs a higher LIGHTFIELD_MAX_DEPTH."),
    # trigger.*: it happened, and no run was made of it
    Entry("trigger.own_change", False, None, "The workflow made this change itself, and its own changes do not start it.", "Nothing, if it was meant to run once. Else set own_changes in the trigger; runs still end at LIGHTFIELD_MAX_DEPTH."),
    # notice.*: a failure was to be told
    Entry("notice.refused", True, None, "The receiver of failure notices answered with something else than 2xx.", "Correct settings.on_failure.webhook, or ask the receiver; 410 ends the message at once."),
    Entry("notice.email_not_configured", False, 422, "No mail server is configured.", "Set LIGHTFIELD_EMAIL_HOST and LIGHTFIELD_EMAIL_FROM, or leave settings.on_failure.email out."),
    Entry("notice.email_failed", True, None, "The mail server could not be reached, or told us to come later.", "Check LIGHTFIELD_EMAIL_* and the mail server; the message is tried again."),
    Entry("notice.email_refused", False, None, "The mail server refused the message for good.", "Correct the addresses in settings.on_failure.email, LIGHTFIELD_EMAIL_FROM or the mail server's account."),
    Entry("notice.given_up", False, None, "The message was tried 12 times, and whoever sent it died each time.", "Look for what ends the http worker, and read the failed runs in the admin."),
    Entry("notice.unexpected", True, None, "Sending a notice failed as it should not.", "See the http worker's log under the message id."),
    Entry("step.worker_lost", False, None, "The step ended its process three times while running alone, or lost it ten times.", "Look at the step's memory use and native code; replay when mended."),
    Entry("step.unexpected", True, None, "The step raised an error that it does not declare.", "See the metadata and the worker's log under the trace id."),
    Entry("step.timeout", True, None, "The step did not end within its time limit.", "Raise the step's timeout or make the work smaller."),
    Entry("step.conflict", True, None, "Others changed the same records at the same moment, time and again.", "Nothing, if a retry succeeds; else look for what changes these records so often, or holds them for so long."),
    Entry("step.invalid_output", False, None, "The step's output is not JSON that can be kept.", "Change the step type: finite numbers, text without NUL, at most 32 levels."),
    Entry("step.output_too_large", False, None, "The step's output is too large to keep.", "Ask for less data." ),
    Entry("engine.dispatch_failed", False, None, "The event could not be turned into a run three times.", "See the event's metadata; dispatch it again from the admin."),
    Entry("engine.database_unavailable", True, 503, "The database does not answer.", "Try again after Retry-After seconds."),
    Entry("engine.invalid_setting", False, None, "An environment variable has a wrong value.", "Correct the variable named in the message."),
    Entry("engine.internal", True, 500, "Something failed that should not.", "Repeat the request; report it with the trace id."),
)
# fmt: on


def add(*entries: Entry) -> None:
    """Make codes of an app's own known, from its `AppConfig.ready()`. The same ones again: nothing happens.

    They stand in a namespace of the app's own: those above are this project's, which may add to them.
    """
    for entry in entries:
        if not FORM.fullmatch(entry.code):
            raise ValueError(f"{entry.code!r} is no code: write namespace.name in lower case")
        if entry.namespace in NAMESPACES:
            raise ValueError(
                f"{entry.code!r}: {entry.namespace}.* is this project's, take a namespace of your own"
            )
        if CATALOGUE.setdefault(entry.code, entry) != entry:
            raise ValueError(f"{entry.code!r} has another meaning already")


def forget(*codes: str) -> None:
    """Take out codes that were added. For tests that bring their own."""
    for code in codes:
        CATALOGUE.pop(code, None)
