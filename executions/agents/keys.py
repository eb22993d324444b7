"""API keys of models as headers: put together when a request is about to leave, by where it goes. Nothing before that has them."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.views.decorators.debug import sensitive_variables

from executions.agents.provided import installed_address
from executions.agents.values import ModelSpec, Provider
from executions.egress.headers import Fields
from executions.egress.hidden import Hidden, LateHeaders
from executions.egress.policy import AllowList
from executions.egress.urls import Target, parse_target
from executions.secrets import hiding
from executions.secrets.opening import SecretHeaders
from executions.secrets.sealed import SealedHeader
from lightfield.kernel.errors import PermanentStepError
from workflows.secret_text import SecretText

# Header and what stands before the key in it. Sources: OpenAI's API reference, "Authentication"; Anthropic's, "Overview".
_HEADERS: Final[dict[Provider, tuple[str, str]]] = {
    "openai": ("Authorization", "Bearer "),
    "anthropic": ("x-api-key", ""),
}


def key_of(model: ModelSpec) -> LateHeaders | None:
    """The header with the model's key; None: it is asked without one."""
    if model.api_key is None:
        return InstalledKey(model.provider)
    text = SecretText.from_json(model.api_key)
    if not text.parts:
        return None
    if not text.names:
        hiding.remember(str(text))  # written out by its author; still nobody's business
    name, before = _HEADERS[model.provider]
    return SecretHeaders([SealedHeader(name, SecretText([before, *text.parts])).as_json()])


class InstalledKey:
    """LIGHTFIELD_AI_API_KEY, which goes to LIGHTFIELD_AI_BASE_URL and nowhere else."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    @sensitive_variables()
    def for_hop(self, target: Target, allow: AllowList, *, is_first: bool) -> Fields:  # noqa: ARG002  as all LateHeaders
        """Raises PermanentStepError: `ai.no_key`: the request goes somewhere else, as when the setting was changed meanwhile."""
        if target.origin != parse_target(installed_address()).origin:
            where = f"{target.host} is not where LIGHTFIELD_AI_BASE_URL leads: the installation's key does not go there."
            raise PermanentStepError("ai.no_key", where, url_host=target.host)
        key = settings.LIGHTFIELD_AI_API_KEY
        if not key:
            return []
        hiding.remember(key)
        name, before = _HEADERS[self._provider]
        return [(name.encode("ascii"), Hidden(f"{before}{key}".encode()))]
