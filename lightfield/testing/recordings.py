"""A recorded transcript as a model: what it answered is answered again, while the tools run for real against the test's rows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

from executions.agents.values import FINAL, CallResult, CallWanted, Question, Reply, Usage
from lightfield.kernel.catalogue import Entry, add
from lightfield.kernel.errors import PermanentStepError
from lightfield.testing.scripted_models import effect_key_of, step_of, turn_of

MISMATCH: Final = "testing.transcript_mismatch"
UUID: Final = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")

add(
    Entry(
        MISMATCH,
        False,
        None,
        "An agent did something else than its recorded transcript.",
        "See the first difference in the message: correct the workflow or the test's records, or record anew.",
    )
)

Json = dict[str, Any]


class TranscriptMismatch(AssertionError):
    """An agent took another way than the one that was recorded. The message tells the first difference."""


class Recording:
    """The turns of one step, replayed to the first run that asks.

    Ids that the tools gave out when it was recorded are replaced by those that they give out now, in all that follows.
    """

    def __init__(
        self, source: str | Path | Mapping[str, Any], *, step: str | None, replace: Mapping[str, str]
    ) -> None:
        self.name = "the transcript" if isinstance(source, Mapping) else Path(source).name
        self.step = step
        self.mismatch: str | None = None
        self._turns = _groups(_read(source), self.name)
        self._at = 0  # answers given
        self._whose: str | None = None  # the effect key of the step that it was replayed to
        self._instead = dict(replace)

    def fits(self, question: Question) -> bool:
        if self._whose is not None:
            return effect_key_of(question) == self._whose
        return self.step in (None, step_of(question))

    def answer(self, question: Question) -> Reply:
        """Raises PermanentStepError: `testing.transcript_mismatch`."""
        self._whose = effect_key_of(question)
        if self._at:
            self._compare(question.exchanges[-1][1].results)
        if self._at == len(self._turns):
            self._differ(f"turn {turn_of(question)} was asked, and {self._at} are recorded.")
        model, _ = self._turns[self._at]
        self._at += 1
        return self._reply(model)

    def unfinished(self) -> str | None:
        """What is wrong with where the replay ended, if anything is."""
        if self.mismatch or not 0 < self._at < len(self._turns):
            return None
        return self._told(f"{len(self._turns)} turns are recorded, and the step ended after {self._at}.")

    def _compare(self, results: tuple[CallResult, ...]) -> None:
        """What came of the calls of the answer before, now and then."""
        _, recorded = self._turns[self._at - 1]
        made = [result for result in results if result.name != FINAL]
        for then, now in zip_longest(recorded, made):
            place = f"turn {self._at}, call of {(then or {}).get('name') or now.name}"
            if then is None:
                self._differ(f"{place}: it was made, and is not recorded.")
            if now is None:
                self._differ(f"{place}: it is recorded, and was not made.")
            was, came = _outcome(then.get("error_code")), _outcome(_code_of(now))
            if was != came:
                self._differ(f"{place}: recorded is that it {was}, now it {came}: {_short(now.content)}")
            self._instead.update(_new_ids(then.get("answer"), now.content))

    def _reply(self, model: Json) -> Reply:
        answer = self._renewed(model["answer"])
        return Reply(
            text=str(answer.get("text") or ""),
            calls=tuple(CallWanted(one["id"], one["name"], one["arguments"]) for one in answer["calls"]),
            usage=Usage(int(model.get("input_tokens") or 0), int(model.get("output_tokens") or 0)),
            model=str(model["name"]),
            finish=answer.get("finish") or "stop",
        )

    def _renewed(self, value: Any) -> Any:
        """The same JSON with what is to be replaced replaced, wherever it stands in a text."""
        if isinstance(value, dict):
            return {name: self._renewed(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self._renewed(item) for item in value]
        if not isinstance(value, str) or not self._instead:
            return value
        longest_first = sorted(self._instead, key=len, reverse=True)
        pattern = "|".join(re.escape(old) for old in longest_first)
        return re.sub(pattern, lambda found: self._instead[found[0]], value)

    def _differ(self, what: str) -> None:
        self.mismatch = self._told(what)
        raise PermanentStepError(MISMATCH, self.mismatch)

    def _told(self, what: str) -> str:
        return f"{self.name} does not replay: {what}"

    def __str__(self) -> str:
        return f"{self.name}, {len(self._turns)} turns, {self._at} given"


def _read(source: str | Path | Mapping[str, Any]) -> list[Any]:
    """The turns of an exported transcript, or of one whole page of the API. Raises ValueError."""
    try:
        found = source if isinstance(source, Mapping) else json.loads(Path(source).read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{source} is no transcript: it is no JSON that can be read, {error}") from None
    if not isinstance(found, Mapping) or not ("turns" in found or "results" in found):
        raise ValueError(f"{source} is no transcript: bin/manage transcript RUN STEP makes one")
    if found.get("next"):
        raise ValueError(f"{source} is one page of several: bin/manage transcript RUN STEP has all turns")
    rows = found["turns"] if "turns" in found else found["results"]
    if not isinstance(rows, list):
        raise ValueError(f"{source} is no transcript: its turns are no list")
    return rows


def _groups(rows: list[Any], name: str) -> list[tuple[Json, list[Json]]]:
    """Each answer of the model with the calls that followed. Raises ValueError."""
    groups: list[tuple[Json, list[Json]]] = []
    for place, row in enumerate(rows, start=1):
        kind = row.get("kind") if isinstance(row, dict) else None
        if kind == "model" and _is_answer(row):
            groups.append((row, []))
        elif kind == "tool" and groups and isinstance(row.get("name"), str):
            groups[-1][1].append(row)
        else:
            number = row.get("number", place) if isinstance(row, dict) else place
            raise ValueError(f"{name}: turn {number} is neither an answer nor a call after one")
    if not groups:
        raise ValueError(f"{name} has no turns")
    return groups


def _is_answer(row: Json) -> bool:
    """Whether it has all that is replayed of it, each of its type."""
    answer = row.get("answer")
    if not isinstance(answer, dict) or not isinstance(answer.get("calls"), list):
        return False
    counts = (row.get(name) or 0 for name in ("input_tokens", "output_tokens"))
    return (
        isinstance(row.get("name"), str)
        and all(type(count) is int for count in counts)
        and all(
            isinstance(one, dict)
            and isinstance(one.get("id"), str)
            and isinstance(one.get("name"), str)
            and isinstance(one.get("arguments"), dict | str)
            for one in answer["calls"]
        )
    )


def _code_of(result: CallResult) -> str | None:
    if not result.is_error:
        return None
    told = result.content.get("error") if isinstance(result.content, dict) else None
    return str(told.get("code")) if isinstance(told, dict) else "an error"


def _outcome(error_code: str | None) -> str:
    return f"ended with {error_code}" if error_code else "went well"


def _new_ids(then: Any, now: Any) -> Iterator[tuple[str, str]]:
    """Which id stands now where another one stood, in results of one shape."""
    if isinstance(then, dict) and isinstance(now, dict):
        for name in then.keys() & now.keys():
            yield from _new_ids(then[name], now[name])
    elif isinstance(then, list) and isinstance(now, list):
        for one, other in zip(then, now, strict=False):
            yield from _new_ids(one, other)
    elif then != now and _is_id(then) and _is_id(now):
        yield then, now


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and UUID.fullmatch(value) is not None


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 300 else f"{text[:300]}…"
