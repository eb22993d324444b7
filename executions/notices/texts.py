"""What a message says. Pure: the same facts are the same words, so every try of a message sends the same."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from executions.notices.models import MessageKind

MOST_RUNS: Final = 20  # told one by one in a message; the others are counted
MOST_CHARS: Final = 300  # of an error's message


@dataclass(frozen=True)
class FailedRun:
    """One failed run, as its row has it: the error is redacted before it is stored."""

    id: str
    trace_id: str
    code: str
    message: str
    step: str | None
    failed_at: datetime


@dataclass(frozen=True)
class Facts:
    """What a message is about. `runs` are the first of `failed_runs`."""

    kind: MessageKind
    workflow_id: str
    workflow_name: str
    version: int
    failed_runs: int
    in_a_row: int
    runs: list[FailedRun]
    at: datetime
    reason: str | None = None  # of a pause


def body_of(facts: Facts, *, public_url: str) -> dict[str, Any]:
    """The JSON that is sent.

    `{"type", "timestamp", "text", "data": {"workflow": {"id", "name", "version", "url"}, "failed_runs",
    "failures_in_a_row", "runs": [{"id", "trace_id", "step", "error": {"code", "message"}, "failed_at", "url"}],
    "reason"}}`. `runs` holds at most 20; `url` is null while LIGHTFIELD_PUBLIC_URL is unset; `reason` is the code of
    a pause.
    """
    return {
        "type": facts.kind.value,
        "timestamp": _instant(facts.at),
        "text": sentence_of(facts),
        "data": {
            "workflow": {
                "id": facts.workflow_id,
                "name": facts.workflow_name,
                "version": facts.version,
                "url": _page(public_url, "workflows/workflow", facts.workflow_id),
            },
            "failed_runs": facts.failed_runs,
            "failures_in_a_row": facts.in_a_row,
            "runs": [_run(run, public_url) for run in facts.runs[:MOST_RUNS]],
            "reason": facts.reason,
        },
    }


def sentence_of(facts: Facts) -> str:
    """The message in one line."""
    name = one_line(facts.workflow_name)
    if facts.kind == MessageKind.WORKFLOW_PAUSED:
        return f"{name} was paused: {_runs(facts.in_a_row)} failed in a row."
    if facts.failed_runs == 1 and facts.runs:
        run = facts.runs[0]
        where = f" at {run.step}" if run.step else ""
        return f"{name}: a run failed{where} with {run.code}."
    return f"{name}: {_runs(facts.failed_runs)} failed."


def mail_of(body: dict[str, Any]) -> tuple[str, str]:
    """Subject and text of the same message as an e-mail."""
    data = body["data"]
    lines = [str(body["text"]), ""]
    for run in data["runs"]:
        where = f" at {run['step']}" if run["step"] else ""
        lines += [
            f"{run['failed_at']}  {run['error']['code']}{where}",
            f"    {run['error']['message']}",
            f"    run {run['id']}, trace {run['trace_id']}",
            *([f"    {run['url']}"] if run["url"] else []),
        ]
    left = data["failed_runs"] - len(data["runs"])
    if left > 0:
        lines += ["", f"And {_runs(left)} more."]
    lines += ["", f"Failed in a row: {data['failures_in_a_row']}."]
    if data["workflow"]["url"]:
        lines.append(data["workflow"]["url"])
    return one_line(f"[Lightfield] {body['text']}")[:200], "\n".join(lines) + "\n"


def one_line(text: str) -> str:
    """Without line breaks and control characters: it becomes a header."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _run(run: FailedRun, public_url: str) -> dict[str, Any]:
    return {
        "id": run.id,
        "trace_id": run.trace_id,
        "step": run.step,
        "error": {"code": run.code, "message": run.message[:MOST_CHARS]},
        "failed_at": _instant(run.failed_at),
        "url": _page(public_url, "executions/run", run.id),
    }


def _page(public_url: str, model: str, key: str) -> str | None:
    """Its page in the admin. Written out: workers load no URLs."""
    return f"{public_url.rstrip('/')}/admin/{model}/{key}/change/" if public_url else None


def _runs(number: int) -> str:
    return "1 run" if number == 1 else f"{number:,} runs"


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
