"""What a model sends to a tool, judged before anybody reads it; and the shape of a permission, judged when it is published."""

from __future__ import annotations

from typing import Any, Final

from pydantic import ValidationError

from executions.agents.tools import Grant
from executions.agents.values import JsonObject
from lightfield.kernel import strict_json
from lightfield.kernel.errors import PermanentStepError, Problem, RequestRefused
from workflows.expressions import templates_in
from workflows.problems import problems_of_model

MOST_BYTES: Final = 256 << 10  # of the arguments of one call
SHOWN_CHARS: Final = 60
DENIED: Final = "ai.permission_denied"
NO_TEMPLATES: Final = "A permission takes no templates: it is fixed when the workflow is published."


def readable(arguments: Any) -> JsonObject:
    """The arguments, when they are an object that could be stored. Raises PermanentStepError: `config.invalid`."""
    if not isinstance(arguments, dict):
        raise PermanentStepError("config.invalid", "The arguments are not an object.")
    try:
        strict_json.check(arguments, max_bytes=MOST_BYTES)
    except RequestRefused as refused:
        raise PermanentStepError(
            "config.invalid", f"The arguments cannot be read: {refused.message}"
        ) from None
    return arguments


def denied(tried: str, allowed: str) -> PermanentStepError:
    """What a step does not permit, whether or not it exists.

    Args:
        tried: in a few words, for the timeline: `read "account"`.
        allowed: a sentence for the model.
    """
    return PermanentStepError(DENIED, f"Not permitted: {tried}. {allowed}", tried=tried)


def shown(value: Any) -> str:
    """What the model wrote, as short text without anything that a log or a page could stumble over."""
    text = value if isinstance(value, str) else type(value).__name__
    return ascii(text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + "…")


def flaws_in(model: type[Grant], grant: JsonObject) -> list[Problem]:
    """What is wrong with a permission as it is written, with places in it."""
    if templated := [Problem(place, "config.invalid", NO_TEMPLATES) for place, _ in templates_in(grant)]:
        return templated
    try:
        model.model_validate(grant)
    except ValidationError as error:
        return problems_of_model(error, grant, code="config.invalid")
    return []


def each_once(items: list[str]) -> list[str]:
    """For a list of a permission. Raises ValueError."""
    twice = next((item for item in items if items.count(item) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice} stands here twice.")
    return items
