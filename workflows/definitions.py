"""The definition of a workflow: the document that people and programs write, as typed models.

Pure. `parse_definition` judges the shape only, so that a draft may be unfinished; whether it can be
published is `workflows.validation`'s question. Defaults are filled in and stored.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Annotated, Any, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationError,
)

from lightfield.kernel import strict_json
from lightfield.kernel.errors import Problem, RequestRefused
from workflows.canonical import canonical_json
from workflows.problems import pointer_to, problems_of_model

RESERVED_KEYS = frozenset(
    "trigger run workflow secret empty blank nil null true false and or not contains in if for forloop".split()  # noqa: SIM905  a list of words reads best as words
)
MAX_STEPS = 100
MAX_RECIPIENTS = 20  # of a failure's e-mail
MAX_FAILURES_IN_A_ROW = 1000

Code = Annotated[int, Field(ge=400, le=599)]


def _identifier(text: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", text):
        raise ValueError("Use 1 to 40 of a-z, 0-9 and _, a letter first.")
    return text


def _supported(version: int) -> int:
    if version != 1:
        raise ValueError("Expected 1, the only version of this format.")
    return version


def _email_address(text: str) -> str:
    if len(text) > 254 or not re.fullmatch(
        r"[^@\s<>,;:\"()\[\]\\\x00-\x20]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*", text
    ):
        raise ValueError("Expected one e-mail address, such as ops@example.com.")
    return text


Identifier = Annotated[str, AfterValidator(_identifier)]
EmailAddress = Annotated[str, AfterValidator(_email_address)]


class _Part(BaseModel):
    """Unknown keys are refused and nothing is converted: "5" is not 5, 1 is not true."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class NoticeWebhook(_Part):
    url: str = Field(max_length=2048, description="Where a failure is POSTed to, as JSON.")
    secret: str | None = Field(
        None,
        max_length=200,
        description="Signs the requests as Standard Webhooks: `whsec_` and the base64 of 24 to 64 bytes. Kept "
        "encrypted and never read back; left out or null it stays as it is, and an empty one ends it.",
    )


class OnFailure(_Part):
    """Who is told when runs fail."""

    webhook: NoticeWebhook | None = None
    email: list[EmailAddress] = Field(default_factory=list, max_length=MAX_RECIPIENTS)
    every_seconds: int = Field(
        300,
        ge=10,
        le=86_400,
        description="At most one message by each channel in so many seconds: the first failure at once, then together.",
    )


class Settings(_Part):
    concurrency: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="Slow steps of this workflow that run at once, over all lanes; null: as many as each lane allows.",
    )
    timeout_seconds: int = Field(
        86_400, ge=1, le=30 * 86_400, description="For the whole run, from its creation: then `run.timeout`."
    )
    on_failure: OnFailure | None = None
    pause_after_failures: int | None = Field(
        None,
        ge=1,
        le=MAX_FAILURES_IN_A_ROW,
        description="Pause the workflow when so many runs in a row have failed; null: never.",
    )

    @property
    def failure_channels(self) -> list[str]:
        """What a failed run of this version has to be told to, in a fixed order."""
        told = self.on_failure or OnFailure()
        wanted = {"webhook": told.webhook, "email": told.email, "streak": self.pause_after_failures}
        return [channel for channel, value in wanted.items() if value]


class TriggerSpec(_Part):
    type: Identifier
    config: dict[str, JsonValue] = Field(default_factory=dict)


class RetrySpec(_Part):
    """See `workflows.retry_policy` for what the numbers do."""

    max_attempts: int = Field(5, ge=1, le=50, description="The first attempt counts.")
    base_seconds: float = Field(1.0, ge=0, le=3600)
    cap_seconds: float = Field(300.0, ge=0, le=86_400)
    retry_on_status: list[Code] = Field(default_factory=list, max_length=50)


class StepSpec(_Part):
    key: Identifier
    name: str = Field("", max_length=200)
    type: Identifier
    config: dict[str, JsonValue] = Field(default_factory=dict)
    retry: RetrySpec = Field(default_factory=RetrySpec)


class Definition(_Part):
    schema_: Annotated[int, AfterValidator(_supported)] = Field(alias="schema")
    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    description: str = Field("", max_length=2000)
    settings: Settings = Field(default_factory=Settings)
    trigger: TriggerSpec | None = None  # a draft may not have chosen yet
    steps: list[StepSpec] = Field(default_factory=list, max_length=MAX_STEPS)


def parse_definition(raw: object) -> Definition:
    """The typed definition of a JSON document.

    Raises:
        RequestRefused: `config.invalid_definition` with one problem per place, in document order.
    """
    _check_storable(raw)
    definition, problems = None, list(_key_problems(raw))
    try:
        definition = Definition.model_validate(raw)
    except ValidationError as error:
        problems += problems_of_model(error, raw, code="config.invalid_definition")
    if problems or definition is None:
        raise RequestRefused("config.invalid_definition", problems=in_document_order(raw, problems))
    _check_storable(dump(definition))  # defaults make it larger, and what is stored is parsed again
    return definition


def _check_storable(raw: object) -> None:
    """The limits of every JSON that comes in, for documents that were not read from a request."""
    try:
        strict_json.check(raw)
    except RequestRefused as error:
        raise RequestRefused("config.invalid_definition", error.message, error.problems) from None


def dump(definition: Definition) -> dict[str, Any]:
    """The normalised document, every default written out."""
    return definition.model_dump(mode="json", by_alias=True)


def merge(draft: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """The draft with the top-level keys of `patch` in place of its own. Neither is changed."""
    return {**draft, **patch}


def checksum(document: dict[str, Any]) -> str:
    """SHA-256 in hex over the document's canonical JSON; the same before it was stored and after."""
    return hashlib.sha256(canonical_json(document).encode()).hexdigest()


def in_document_order(raw: object, problems: list[Problem]) -> list[Problem]:
    """Problems sorted by where they stand in the document; what is missing stands with its parent."""
    places = {pointer: number for number, (pointer, _) in enumerate(_walk(raw, ""))}

    def place(problem: Problem) -> int:
        pointer = problem.pointer
        while pointer not in places:  # "" is always there, so this ends
            pointer = pointer.rpartition("/")[0]
        return places[pointer]

    return sorted(problems, key=place)


def _key_problems(raw: object) -> Iterator[Problem]:
    """Reserved and repeated step keys, also when other things are wrong."""
    steps = cast(Any, raw).get("steps") if isinstance(raw, dict) else None
    seen: set[str] = set()
    for index, step in enumerate(steps if isinstance(steps, list) else []):
        key = step.get("key") if isinstance(step, dict) else None
        if not isinstance(key, str):
            continue
        if key in RESERVED_KEYS:
            yield Problem(f"/steps/{index}/key", "config.reserved_key", f"{key} is a reserved word.")
        if key in seen:
            yield Problem(f"/steps/{index}/key", "config.duplicate_key", f"Another step is called {key}.")
        seen.add(key)


def _walk(value: object, pointer: str) -> Iterator[tuple[str, object]]:
    """Every value with its pointer, in document order."""
    yield pointer, value
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _walk(item, pointer + pointer_to([key]))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _walk(item, f"{pointer}/{index}")
