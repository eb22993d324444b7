"""`http`: an agent sends requests to named hosts, and to nobody else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field

from executions import egress
from executions.agents.tools import AnyGrant, Grant, Tool, ToolContext, ToolKind, register
from executions.agents.tools.arguments import DENIED, denied, each_once, flaws_in, readable, shown
from executions.agents.tools.cutting import LARGEST_BYTES, LEAST_BYTES, MOST_BYTES, cut
from executions.agents.values import JsonObject, ToolSpec
from executions.egress.headers import encode_fields
from executions.egress.urls import Target, parse_target
from executions.secrets import hiding
from executions.secrets.opening import is_bound
from executions.steps import http_answers
from executions.steps.http_request import HttpRequest
from lightfield.access import credential_hosts
from lightfield.access.credential_hosts import InvalidHost
from lightfield.kernel import traceparent
from lightfield.kernel.errors import PermanentStepError, Problem
from workflows.step_types import load_config

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
METHODS: Final[list[Method]] = ["GET", "POST", "PUT", "PATCH", "DELETE"]
MOST_HOSTS: Final = 20
HEADER_CHARS: Final = 500  # of one that is told
SECONDS: Final = 30.0  # one request, lookup to last byte
ARGUMENTS: Final = ("method", "url", "headers", "query", "json", "body")
# A list of those that may be, since nobody knows all of those that say who somebody is, or mean another method or host.
SENT_HEADERS: Final = frozenset(
    {"accept", "accept-language", "content-type", "prefer"}
    | {"if-match", "if-none-match", "if-modified-since", "if-unmodified-since"}
)
TOLD_HEADERS: Final = ("content-type", "etag", "last-modified", "link", "location", "retry-after")


def _as_written(hosts: list[str]) -> list[str]:
    """Raises ValueError. What a host is called twice in two spellings stands there twice."""
    for host in hosts:
        if host != host.strip():
            raise InvalidHost("A host has no spaces around it.")
    each_once([credential_hosts.normal(host) for host in hosts])
    return hosts


class HttpGrant(Grant):
    type: Literal["http"]
    hosts: Annotated[list[str], Field(min_length=1, max_length=MOST_HOSTS), AfterValidator(_as_written)]
    methods: Annotated[list[Method], Field(min_length=1), AfterValidator(each_once)] = METHODS
    max_bytes: Annotated[int, Field(ge=LEAST_BYTES, le=LARGEST_BYTES)] = MOST_BYTES  # that one answer tells


@dataclass(frozen=True)
class Reach:
    """What one permission lets through; hosts in the form that egress makes of them."""

    hosts: tuple[str, ...]
    methods: tuple[str, ...]
    most_bytes: int

    @classmethod
    def of(cls, grant: HttpGrant) -> Reach:
        hosts = tuple(credential_hosts.normal(host) for host in grant.hosts)
        return cls(hosts, tuple(grant.methods), grant.max_bytes)

    def permits(self, method: str, target: Target) -> bool:
        """By https; in clear only to what the operator named as host:port."""
        return method in self.methods and is_bound(self.hosts, target, egress.policy_from_settings().allow)

    def __str__(self) -> str:
        return f"{', '.join(self.methods)} to {', '.join(self.hosts)}"


class HttpTool(Tool):
    """`{"status_code", "headers", "body"}`, whatever the status; `"cut"` when something of the body is missing."""

    effect = "sends"

    def __init__(self, reaches: Sequence[Reach]) -> None:
        self.reaches = tuple(reaches)
        self.spec = _spec(self.reaches)

    def judge(self, arguments: JsonObject) -> None:
        """What cannot be read as a request is refused as that, later: it leads nowhere."""
        _check_headers(arguments.get("headers"))
        try:
            self._check(arguments.get("method"), arguments.get("url"))
        except PermanentStepError as error:
            if error.code == DENIED:
                raise

    def freeze(self, arguments: JsonObject, context: ToolContext) -> JsonObject:  # noqa: ARG002  as all tools
        """Raises PermanentStepError: `ai.permission_denied`, `config.invalid`, `egress.*`."""
        given = readable(arguments)
        if foreign := [name for name in given if name not in ARGUMENTS]:
            raise PermanentStepError("config.invalid", f"There is no argument {shown(foreign[0])}.")
        _check_headers(given.get("headers"))
        step_type = HttpRequest()
        self._check(given.get("method"), given.get("url"))
        request = step_type.freeze(load_config(step_type, {**given, "timeout_seconds": SECONDS}))
        encode_fields(request["headers"])
        return {name: request[name] for name in ("method", "url", "headers", "body")}

    def call(self, asked: JsonObject, context: ToolContext) -> JsonObject:
        """Raises `StepError` as `egress.request` does: transient when no answer came."""
        reach = self._check(asked["method"], asked["url"])
        answer = egress.request(
            method=asked["method"],
            url=asked["url"],
            headers={
                **asked["headers"],
                "Idempotency-Key": context.key,
                "traceparent": traceparent.outgoing(context.trace_id),
            },
            body=None if asked["body"] is None else asked["body"].encode(),
            timeout_seconds=min(SECONDS, context.seconds_left()),
            before_sending=context.before_sending,
            turn=egress.Turn(is_retry=context.is_retry, held_for=context.held_for),
        )
        return _told(answer, reach.most_bytes)

    def _check(self, method: Any, url: Any) -> Reach:
        """The permission that lets it through: at every attempt by what the tool was made with."""
        if not isinstance(method, str) or not isinstance(url, str):
            raise PermanentStepError("config.invalid", "A request has a method and a url, both texts.")
        target = parse_target(url)
        for reach in self.reaches:
            if reach.permits(method, target):
                return reach
        permitted = "; ".join(map(str, self.reaches))
        raise denied(f"{shown(method)} to {shown(target.site)}", f"This step may send {permitted}, by https.")


@register
class Http(ToolKind[HttpGrant]):
    """`{"type": "http", "hosts": ["api.example.com:8443"], "methods": ["GET"], "max_bytes": 32768}`: `http_request`."""

    name = "http"
    summary = "Send requests to some hosts"
    Grant = HttpGrant
    sends_out = True
    reads_outside = True  # whoever writes what a host answers is a stranger

    def unpublishable(self, grant: JsonObject) -> list[Problem]:
        """Beyond its shape: what egress would refuse before it had even looked the name up."""
        if problems := flaws_in(HttpGrant, grant):
            return problems
        return [
            Problem(f"/hosts/{number}", error.code, error.message)
            for number, host in enumerate(grant["hosts"])
            if (error := _never(host)) is not None
        ]

    def tools(self, grants: Sequence[HttpGrant], all_grants: Sequence[AnyGrant]) -> list[Tool]:  # noqa: ARG002  as all tools
        return [HttpTool([Reach.of(grant) for grant in grants])] if grants else []


def _never(host: str) -> PermanentStepError | None:
    """Why nothing is ever sent there: its port, or an address that is not public and not let through."""
    policy = egress.policy_from_settings()
    try:
        target = parse_target(f"https://{credential_hosts.normal(host)}/")
        policy.check_port(target)
        if target.literal is not None:
            policy.check(target, [target.literal], lambda _name, _port: [])
    except PermanentStepError as error:
        return error
    return None


def _check_headers(headers: Any) -> None:
    """Raises PermanentStepError: `ai.permission_denied`."""
    for name in headers if isinstance(headers, dict) else ():
        if name.lower() not in SENT_HEADERS:
            allowed = f"These headers may be set: {', '.join(sorted(SENT_HEADERS))}."
            raise denied(f"set the header {shown(name)}", allowed)


def _told(answer: egress.Answer, most_bytes: int) -> JsonObject:
    headers = hiding.hidden_fields(answer.headers)
    whole = http_answers.output(answer.status_code, headers, hiding.hidden(answer.body))
    kept = {name: text[:HEADER_CHARS] for name in TOLD_HEADERS if (text := whole["headers"].get(name))}
    told: JsonObject = {"status_code": answer.status_code, "headers": kept}
    if "encoding" in whole:
        return {**told, "body": None, "cut": f"{len(answer.body):,} bytes that are no text were left out."}
    told["body"], is_cut = cut(whole["body"], most_bytes)
    if is_cut or "truncated" in whole:
        told["cut"] = f"The body was cut; it has {len(answer.body):,} bytes."
    return told


def _spec(reaches: Sequence[Reach]) -> ToolSpec:
    methods = [method for method in METHODS if any(method in reach.methods for reach in reaches)]
    permitted = "; ".join(map(str, reaches))
    scalars = {"type": ["string", "number", "boolean"]}
    properties: JsonObject = {
        "method": {"type": "string", "enum": methods},
        "url": {"type": "string", "description": "Absolute, with https://."},
        "headers": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": f"Of these: {', '.join(sorted(SENT_HEADERS))}.",
        },
        "query": {
            "type": "object",
            "additionalProperties": {"anyOf": [scalars, {"type": "array", "items": scalars}]},
            "description": "Added to the URL's own.",
        },
        "json": {"description": "A body of JSON; or body."},
        "body": {"type": "string", "description": "A body of text; or json."},
    }
    description = (
        f"Send one HTTP request: {permitted}. Redirects are not followed. Statuses of any kind are told."
    )
    parameters = {
        "type": "object",
        "properties": properties,
        "required": ["method", "url"],
        "additionalProperties": False,
    }
    return ToolSpec("http_request", description, parameters)
