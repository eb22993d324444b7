"""What `bin/demo` promises, looked for in what came of it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from lightfield.local.boot import CannotStart
from lightfield.local.calls import Api
from lightfield.local.demo_model import HELD_TURN, Model
from lightfield.local.demo_workflows import AGENT, Customer
from lightfield.local.story import Chapter

Json = dict[str, Any]


@dataclass(frozen=True)
class Seen:
    """Of a finished demo. `before`: the agent's turns that were finished when its worker was killed."""

    customer: Customer
    token: str
    chapters: list[Chapter]  # the webhook's run, and the one that the new contact started
    before: list[Json]
    welcomes: list[Json]  # requests, as the far end saw them
    model: Model

    @property
    def run(self) -> Json:
        return self.chapters[0].run

    @property
    def turns(self) -> list[Json]:
        return self.chapters[0].turns[AGENT]


def checked(seen: Seen, api: Api) -> tuple[list[str], list[str]]:
    """What it shows, a sentence each; and the paths of the records that were made, those first that others refer to.

    Raises:
        CannotStart: something was not as promised; the message says what.
    """
    for chapter in seen.chapters:
        status, error = chapter.run["status"], chapter.run["error"]
        _expect(status == "completed", f"{chapter.title}: the run ended as {status}: {error}")
    _check_losses(seen)
    findings = [*_check_turns(seen), *_check_requests(seen)]
    records = _check_records(seen, api)
    findings.insert(
        0, "one webhook sent twice: one event, one run; one account, one contact, one opportunity, one task"
    )
    return findings, records


def _check_losses(seen: Seen) -> None:
    lost = [entry["step"] for entry in seen.chapters[0].timeline if entry["type"] == "step.lost"]
    expected = [AGENT, "welcome"] if seen.before else ["welcome"]
    _expect(lost == expected, f"attempts of {lost} were lost, not of {expected}")


def _check_turns(seen: Seen) -> list[str]:
    """Finished turns are the same rows as before the kill; a model of ours also says how often it was asked."""
    kept = seen.turns[: len(seen.before)]
    _expect(kept == seen.before, "what the agent had done before its worker was killed has changed")
    unfinished = [turn["number"] for turn in seen.turns if not turn["finished_at"]]
    _expect(not unfinished, f"turns {unfinished} of the agent never ended")
    answers = sum(turn["kind"] == "model" for turn in seen.turns)
    calls = len(seen.turns) - answers
    words = f"the agent: {answers} turns of {seen.model.words}, {calls} tool calls"
    if seen.model.desk is None:
        return [f"{words}; what was finished when its worker died was not done again"]
    times = Counter(asked["turn"] for asked in seen.model.asked)
    wanted = {turn: 2 if turn == HELD_TURN else 1 for turn in range(1, answers + 1)}
    _expect(times == wanted, f"the model was asked {dict(times)} times, not {wanted}")
    keys = {asked["key"] for asked in seen.model.asked}
    _expect(len(keys) == answers, f"{answers} turns were asked under {len(keys)} keys")
    return [
        words,
        f"its worker died during turn {HELD_TURN}: that was asked again under the same key, finished turns were not",
    ]


def _check_requests(seen: Seen) -> list[str]:
    answers = [request["status"] for request in seen.welcomes]
    _expect(answers == [503, None, 200], f"the far end answered {answers}, not 503, nothing, 200")
    keys = {request["idempotency_key"] for request in seen.welcomes}
    _expect(len(keys) == 1, "it was asked under several keys")
    _expect(all(request["has_token"] for request in seen.welcomes), "a request came without the secret")
    stored = [[chapter.run, chapter.timeline, chapter.turns] for chapter in seen.chapters]
    _expect(seen.token not in json.dumps(stored), "the secret stands in the run")
    return [
        "welcome: answered 503; then its worker died with the request open; sent again under the same key",
        "the secret went to the far end with each request, and stands nowhere in the run",
    ]


def _check_records(seen: Seen, api: Api) -> list[str]:
    """Each of them once. No words of a model are looked at, but of our own."""
    output = next(step for step in seen.run["steps"] if step["key"] == AGENT)["output"]["output"]
    contact = _only(api, f"contacts?email={seen.customer.email}")
    account = _only(api, f"accounts?website={seen.customer.website}")
    _expect(contact["account"] == account["id"], "the contact does not belong to the account")
    opportunity = _only(api, f"opportunities?account={account['id']}")
    told_of = seen.run["steps"][-1]["output"]["body"]["received"]["contact"]
    _expect(told_of == contact["id"] == output["contact_id"], "the welcome was about another contact")
    (step,) = seen.chapters[1].run["steps"]
    task = api.get(f"/api/v1/crm/tasks/{step['output']['id']}")
    _expect(bool(seen.model.desk is None or task["title"] == "Call Ada"), f"the task is to “{task['title']}”")
    made = {"accounts": account, "contacts": contact, "opportunities": opportunity, "tasks": task}
    return [f"/api/v1/crm/{kind}/{record['id']}" for kind, record in made.items()]


def _only(api: Api, path: str) -> Json:
    found: list[Json] = api.get(f"/api/v1/crm/{path}")["results"]
    _expect(len(found) == 1, f"there are {len(found)} {path.partition('?')[0]}, not one")
    return found[0]


def _expect(condition: bool, otherwise: str) -> None:
    if not condition:
        raise CannotStart(otherwise)
