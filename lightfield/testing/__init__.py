"""Run a workflow in a test of your own: the real engine on the test's database, the outside faked, no time passing.

    @pytest.mark.django_db(transaction=True)
    def test_a_signup_is_announced():
        fakes = Fakes()
        fakes.http("https://example.com/hook", method="POST", status=201, json={"id": 7})

        done = run(WORKFLOW, {"email": "ada@example.com"}, fakes=fakes)

        assert done.status == "completed"
        assert fakes.requests[0].json == {"email": "ada@example.com"}

What is real: rows, transactions, templates, retries, effects, the timeline, and the whole of egress down to the bytes of a request.
What is not: the far side, an agent's model (`Fakes.model`), Celery and Redis (bells are answered in this thread), and waiting (waits are over at once). See
`docs/howto/test-your-workflows.md`.
"""

from executions.agents.values import Question
from lightfield.testing.fakes import Fakes, SentRequest, UnfakedRequest
from lightfield.testing.recordings import TranscriptMismatch
from lightfield.testing.results import FinishedRun, RunError, StepResult, TimelineLine, TurnResult
from lightfield.testing.running import (
    NeverEnds,
    NotPublishable,
    OutputMismatch,
    WrongDatabase,
    publish,
    run,
    secret_value,
)
from lightfield.testing.scripted_models import UnfakedQuestion, call, calls, fails, final, reply

__all__ = [
    "Fakes",
    "FinishedRun",
    "NeverEnds",
    "NotPublishable",
    "OutputMismatch",
    "Question",
    "RunError",
    "SentRequest",
    "StepResult",
    "TimelineLine",
    "TranscriptMismatch",
    "TurnResult",
    "UnfakedQuestion",
    "UnfakedRequest",
    "WrongDatabase",
    "call",
    "calls",
    "fails",
    "final",
    "publish",
    "reply",
    "run",
    "secret_value",
]
