"""The far side of a test's requests and of its models: what it answers, and what was sent to it."""

from __future__ import annotations

import json as json_module
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from executions.agents.values import Question, Reply
from executions.egress.urls import parse_target
from lightfield.kernel.catalogue import CATALOGUE, Entry, add
from lightfield.kernel.errors import PermanentStepError
from lightfield.testing.recordings import MISMATCH, Recording, TranscriptMismatch
from lightfield.testing.scripted_models import UNFAKED as UNFAKED_QUESTION
from lightfield.testing.scripted_models import Answer, ScriptedModel, UnfakedQuestion, told_of

UNFAKED: Final = "testing.unfaked_request"
# What may happen instead of an answer, and whether the request has left by then.
FAULTS: Final = {
    "http.dns_failed": False,
    "http.connect_failed": False,
    "http.tls_failed": False,
    "http.timeout": True,
    "http.connection_lost": True,
}

add(
    Entry(
        UNFAKED,
        False,
        None,
        "A test sent a request for which it has no fake.",
        "Call fakes.http with the request's URL, or find out why it is sent.",
    )
)


class UnfakedRequest(AssertionError):
    """The workflow sent a request that the test has no fake for. Nothing left the process."""


@dataclass(frozen=True)
class SentRequest:
    """A request as the far side received it. Header names are in lower case."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON. Raises ValueError if it is none."""
        return json_module.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class FakeAnswer:
    """What one call of `Fakes.http` promised. `left` is None when it goes on answering."""

    pattern: str
    method: str | None
    status: int
    headers: dict[str, str]
    body: bytes
    fault: str | None
    left: int | None
    requests: list[SentRequest] = field(default_factory=list)

    def fits(self, method: str | None, url: str) -> bool:
        """`method` is None when only the URL is known: before anything is sent."""
        if method is not None and self.method not in (None, method):
            return False
        return fnmatchcase(url, self.pattern) or fnmatchcase(url.partition("?")[0], self.pattern)

    @property
    def is_used_up(self) -> bool:
        return self.left == 0

    def spend(self) -> None:
        if self.left:
            self.left -= 1

    def __str__(self) -> str:
        return f"{self.method or 'any method'} {self.pattern}{' (used up)' if self.is_used_up else ''}"


class Fakes:
    """The outside of one test. `requests` are those that were received, `questions` those that models were asked, in order."""

    def __init__(self) -> None:
        self.requests: list[SentRequest] = []
        self.questions: list[Question] = []
        self.unfaked: list[str] = []
        self.unanswered: list[str] = []
        self._answers: list[FakeAnswer] = []
        self._models: list[ScriptedModel | Recording] = []

    def http(
        self,
        url: str,
        *,
        method: str | None = None,
        status: int = 200,
        json: Any = None,
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        fault: str | None = None,
        times: int | None = None,
    ) -> FakeAnswer:
        """Answer requests to a URL.

        The first fake that fits and is not used up answers; so `times=2` followed by another one is "twice this, then that".

        Args:
            url: exact, with or without the query of the request; `*` stands for anything.
            method: only this one; None: any.
            json: the answer's body, with its content type; or `body`, with `headers` of your own.
            fault: what happens instead of an answer: http.timeout or http.connection_lost, after the request has left, or
                http.dns_failed, http.connect_failed, http.tls_failed, before.
            times: for so many requests; None: for all.
        """
        if fault is not None and fault not in FAULTS:
            raise ValueError(f"fault is one of {', '.join(FAULTS)}, not {fault!r}")
        if json is not None and body is not None:
            raise ValueError("give json or body, not both")
        sent = dict(headers or {})
        raw = body.encode() if isinstance(body, str) else body or b""
        if json is not None:
            raw = json_module.dumps(json).encode()
            sent.setdefault("Content-Type", "application/json")
        answer = FakeAnswer(_normal(url), method and method.upper(), status, sent, raw, fault, times)
        self._answers.append(answer)
        return answer

    def model(self, *answers: Answer, step: str | None = None) -> ScriptedModel:
        """Answer what agents ask their models, in this order.

        Args:
            answers: what `reply`, `calls`, `final` and `fails` make, or a text; or a function of the question, which is asked
                for its turn and all that follow.
            step: the key of the step whose questions they are for; None: of any.
        """
        if not answers:
            raise ValueError("a model that answers nothing: give at least one answer")
        model = ScriptedModel(list(answers), step)
        self._models.append(model)
        return model

    def transcript(
        self,
        source: str | Path | Mapping[str, Any],
        *,
        step: str | None = None,
        replace: Mapping[str, str] | None = None,
    ) -> Recording:
        """Answer as a recorded model did, while the tools run for real. `run` raises `TranscriptMismatch` if that leads elsewhere.

        Args:
            source: a file that `bin/manage transcript` wrote, or what stands in it.
            step: the key of the step that it is replayed to; None: the first that asks.
            replace: texts of the recording and what stands in their place here, such as ids of the records that the run
                was about. Ids that the tools give out are replaced by themselves.

        Raises:
            ValueError: it is no transcript.
        """
        recording = Recording(source, step=step, replace=replace or {})
        self._models.append(recording)
        return recording

    def ask(self, question: Question) -> Reply:
        """As `executions.agents.asking` asks. Raises StepError: what the test wants, or that it has no answer."""
        question.before_sending()
        self.questions.append(question)
        model = next((one for one in self._models if one.fits(question)), None)
        if model is None:
            known = "; ".join(map(str, self._models)) or "none"
            self.unanswered.append(f"{told_of(question)} Answers are: {known}.")
            raise PermanentStepError(UNFAKED_QUESTION, self.unanswered[-1])
        return model.answer(question)

    def find(self, method: str | None, url: str) -> FakeAnswer | None:
        """The fake that answers next."""
        return next((one for one in self._answers if not one.is_used_up and one.fits(method, url)), None)

    def refuse(self, method: str, url: str) -> str:
        """Note a request that has no fake; returns what to tell."""
        known = "; ".join(map(str, self._answers)) or "none"
        told = f"{method} {url} has no fake. Fakes are: {known}."
        self.unfaked.append(told)
        return told

    def check(self) -> None:
        """Raises `UnfakedRequest`, `UnfakedQuestion` or `TranscriptMismatch` if anything went where the test has nothing for it."""
        if self.unfaked:
            raise UnfakedRequest(f"{self.unfaked[0]} {CATALOGUE[UNFAKED].remedy}")
        if self.unanswered:
            raise UnfakedQuestion(f"{self.unanswered[0]} {CATALOGUE[UNFAKED_QUESTION].remedy}")
        for model in self._models:
            if isinstance(model, Recording) and (told := model.mismatch or model.unfinished()):
                raise TranscriptMismatch(f"{told} {CATALOGUE[MISMATCH].remedy}")


def _normal(url: str) -> str:
    """As egress writes it: `https://Example.com` is `https://example.com/`. A pattern with `*` stays as it is."""
    return url if "*" in url else parse_target(url).url
