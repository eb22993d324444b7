"""API keys: they go to one host, in one header, and are in nothing that comes back."""

from __future__ import annotations

import json
import traceback
from typing import Any

import pytest

from executions.agents import models_asked
from executions.agents.asking import ask
from executions.agents.keys import key_of
from executions.agents.transport import QuestionTransport
from executions.agents.values import ModelSpec
from executions.egress import current
from executions.egress.urls import parse_target
from executions.secrets import hiding
from lightfield.access import credentials
from lightfield.kernel.errors import PermanentStepError, StepError
from tests.factories import BY
from tests.scripted_models import KEY, a_question, a_scripted_model, spec_of

pytestmark = pytest.mark.django_db(transaction=True)
BOTH = pytest.mark.parametrize("provider", ["openai", "anthropic"])
SECRET = [{"secret": "model_key"}]


@pytest.fixture(autouse=True)
def loopback(settings: Any) -> Any:
    settings.LIGHTFIELD_OWN_SERVERS = []
    yield
    current.close()


@pytest.fixture
def server(settings: Any) -> Any:
    """Lets in who has the key, and echoes what it was sent in every way it can."""

    def echo(conversation: Any) -> dict[str, Any]:
        sent = echoing.asked[-1].headers
        told = " ".join([sent.get("authorization", ""), sent.get("x-api-key", "")])
        if conversation.model == "refusing":
            return {
                "status": 400,
                "body": {"error": {"message": f"no: {told}", "type": told}},
                "headers": {"x-a": told},
            }
        if conversation.model == "babbling":
            return {"body": f"you said {told}"}
        return {"text": told, "calls": [{"name": told, "arguments": {told: told}, "id": told}]}

    with a_scripted_model({"*": echo}, api_key=KEY) as echoing:
        settings.LIGHTFIELD_EGRESS_ALLOW = echoing.endpoint
        yield echoing


def bind(server: Any) -> None:
    credentials.create(sent={"name": "model_key", "value": KEY, "hosts": [server.endpoint]}, by=BY)


def install(settings: Any, server: Any, provider: str) -> None:
    settings.LIGHTFIELD_AI_MODEL = f"{provider}:scripted"
    settings.LIGHTFIELD_AI_BASE_URL = spec_of(server, provider).base_url  # type: ignore[arg-type]
    settings.LIGHTFIELD_AI_API_KEY = KEY


def arrived(server: Any) -> list[tuple[str | None, str | None]]:
    return [(asked.headers.get("authorization"), asked.headers.get("x-api-key")) for asked in server.asked]


EXPECTED = {"openai": (f"Bearer {KEY}", None), "anthropic": (None, KEY)}


@BOTH
def test_given_a_key_of_the_step_then_it_arrives_and_no_answer_has_it(server: Any, provider: Any) -> None:
    bind(server)
    with hiding.secrets():
        reply = ask(a_question(spec_of(server, provider, api_key=SECRET)))
    assert arrived(server) == [EXPECTED[provider]]
    assert KEY not in repr(reply)
    assert KEY not in json.dumps(reply.raw)
    assert "[redacted]" in reply.text


@BOTH
def test_given_the_key_of_the_installation_then_it_arrives_and_no_answer_has_it(
    server: Any, provider: Any, settings: Any
) -> None:
    install(settings, server, provider)
    with hiding.secrets():
        reply = ask(a_question(spec_of(server, provider, api_key=None)))
    assert arrived(server) == [EXPECTED[provider]]
    assert KEY not in repr(reply)


@BOTH
@pytest.mark.parametrize("model", ["refusing", "babbling"])
@pytest.mark.parametrize("whose", ["step", "installation"])
def test_given_a_provider_that_echoes_the_key_then_no_error_and_no_traceback_has_it(
    server: Any, provider: Any, model: str, whose: str, settings: Any
) -> None:
    bind(server)
    install(settings, server, provider)
    spec = spec_of(server, provider, name=model, api_key=SECRET if whose == "step" else None)
    with pytest.raises(StepError) as raised, hiding.secrets():
        ask(a_question(spec))
    told = f"{raised.value} {raised.value.metadata} {''.join(traceback.format_exception(raised.value))}"
    assert KEY not in told
    assert "[redacted]" in str(raised.value.metadata)


@BOTH
def test_given_a_question_then_the_library_never_has_the_key(
    server: Any, provider: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(settings, server, provider)
    seen: list[str] = []

    class Watched(QuestionTransport):
        async def handle_async_request(self, request: Any) -> Any:
            seen.append(f"{request.url} {dict(request.headers)} {request.content!r}")
            return await super().handle_async_request(request)

    monkeypatch.setattr(models_asked, "QuestionTransport", Watched)
    with hiding.secrets():
        ask(a_question(spec_of(server, provider, api_key=None)))
    assert len(seen) == 1
    assert KEY not in seen[0]
    assert models_asked.PLACEHOLDER in seen[0]


@BOTH
def test_given_another_host_then_the_key_of_the_installation_does_not_go_there(
    server: Any, provider: Any, settings: Any
) -> None:
    install(settings, server, provider)
    with a_scripted_model([{"text": "x"}]) as other:
        settings.LIGHTFIELD_EGRESS_ALLOW = f"{server.endpoint},{other.endpoint}"
        with pytest.raises(PermanentStepError) as raised:
            ask(a_question(spec_of(other, provider, api_key=None)))
        assert (raised.value.code, raised.value.sent, other.asked) == ("ai.no_key", False, [])


@BOTH
def test_given_another_host_then_a_key_that_is_not_bound_to_it_does_not_go_there(
    server: Any, provider: Any
) -> None:
    bind(server)
    with a_scripted_model([{"text": "x"}]) as other, pytest.raises(PermanentStepError) as raised:
        ask(a_question(spec_of(other, provider, api_key=SECRET)))
    assert (raised.value.code, raised.value.sent) == ("secret.wrong_host", False)


@BOTH
def test_given_a_provider_that_leads_elsewhere_then_nobody_goes_there(provider: Any, settings: Any) -> None:
    with a_scripted_model([{"text": "x"}]) as other:
        place = f"{other.url}/v1/messages"
        with a_scripted_model([{"status": 307, "headers": {"location": place}}]) as server:
            settings.LIGHTFIELD_EGRESS_ALLOW = f"{server.endpoint},{other.endpoint}"
            install(settings, server, provider)
            with pytest.raises(PermanentStepError) as raised:
                ask(a_question(spec_of(server, provider, api_key=None)))
        assert (raised.value.code, other.asked) == ("http.redirect", [])


@BOTH
def test_given_a_model_without_a_key_then_none_is_sent(provider: Any, settings: Any) -> None:
    settings.LIGHTFIELD_AI_API_KEY = KEY
    with a_scripted_model([{"text": "x"}]) as server:
        settings.LIGHTFIELD_EGRESS_ALLOW = server.endpoint
        ask(a_question(spec_of(server, provider)))
        assert arrived(server) == [(None, None)]


def test_given_a_secret_that_was_deleted_then_nothing_is_sent(server: Any) -> None:
    with pytest.raises(PermanentStepError) as raised:
        ask(a_question(spec_of(server, api_key=SECRET)))
    assert (raised.value.code, server.asked) == ("secret.unknown", [])


def test_given_a_key_as_a_header_then_its_repr_says_nothing(settings: Any) -> None:
    settings.LIGHTFIELD_AI_API_KEY = KEY
    header = key_of(ModelSpec("openai", "m", "https://api.openai.com/v1", None))
    assert header is not None
    fields = header.for_hop(parse_target("https://api.openai.com/v1/chat"), None, is_first=True)  # type: ignore[arg-type]
    assert KEY not in repr(fields)
    assert KEY not in repr(vars(header))
