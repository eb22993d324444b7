"""Decisions in plain words: what came, and why it did or did not start the workflow. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from executions.decision_list import Entry
from executions.sentences import Sentence
from triggers.decisions.verdicts import Verdict
from triggers.signatures import Check

_SENDERS: Final = {
    "webhook": "A webhook",
    "manual": "A run by hand",
    "record": "A record's change",
    "schedule": "The schedule",
    "test": "A test of the draft",
}
_SAID: Final = frozenset({"changed", "watched", "check"})
_CHECKS: Final[dict[str, str]] = {
    Check.MISSING_HEADER: "a header that the scheme needs was not there",
    Check.MALFORMED_HEADER: "a header of the signature cannot be read",
    Check.TOO_MANY_SIGNATURES: "it had more signatures than are looked at",
    Check.NO_SECRET: "no secret is live to judge it by",
    Check.NO_MATCHING_SIGNATURE: "no signature fits a live secret, or the body was changed on the way",
    Check.TIMESTAMP_OUTSIDE_TOLERANCE: "it was signed too long ago, or the sender's clock is wrong",
}
MOST_NAMES: Final = 6


def sentence_of(entry: Entry) -> Sentence:
    symbol, tone, words = _WORDS[entry.verdict]
    text = words(entry)
    if entry.count > 1 and entry.verdict is not Verdict.MISSED and "×" not in entry.subject:
        text = f"{text} This happened {entry.count:,} times."
    facts = tuple((name, _short(value)) for name, value in entry.detail.items() if name not in _SAID)
    return Sentence(text=text, symbol=symbol, tone=tone, code=entry.code or "", facts=facts)


def _what(entry: Entry) -> str:
    """`Contact 0192…`, else by whom it came."""
    if entry.subject and entry.verdict not in (Verdict.DUPLICATE, Verdict.KEY_REUSED):
        return f"{entry.subject[0].upper()}{entry.subject[1:]}"
    return _SENDERS.get(entry.source, "Something")


def _key(entry: Entry) -> str:
    return f" under {entry.subject}" if entry.subject else ""


def _unchanged(entry: Entry) -> str:
    watched = _names(entry.detail.get("watched"))
    fields = f"the watched fields {watched}" if watched else "the watched fields"
    changed = _names(entry.detail.get("changed"))
    what = f"{_what(entry)} changed" + (f" in {changed}" if changed else "")
    return f"{what}, but none of {fields} did."


def _missed(entry: Entry) -> str:
    instants = "One instant" if entry.count == 1 else f"{entry.count:,} instants"
    verb = "was" if entry.count == 1 else "were"
    return f"{instants} of the schedule passed unkept and {verb} let go."


def _clock_moved(entry: Entry) -> str:
    """When it is due next instead is among the facts."""
    data = _short(entry.detail.get("zone_data") or "")
    return f"The time zone data {data} say another next instant than those before."


def _badly_signed(entry: Entry) -> str:
    failed = check_in_words(entry.detail)
    return f"{_what(entry)} was not signed as it has to be" + (f": {failed}." if failed else ".")


def check_in_words(detail: Mapping[str, Any]) -> str:
    """Which check of a signature failed, of a decision's or a delivery's detail; empty: none is known."""
    return _CHECKS.get(str(detail.get("check")), "")


def _names(value: Any) -> str:
    """`stage, amount`; the rest of a long list is a number."""
    if not isinstance(value, list) or not value:
        return ""
    names = ", ".join(_short(name) for name in value[:MOST_NAMES])
    return f"{names} and {len(value) - MOST_NAMES} more" if len(value) > MOST_NAMES else names


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


# Symbol, tone and words of each verdict.
_WORDS: Final[dict[Verdict, tuple[str, str, Callable[[Entry], str]]]] = {
    Verdict.FIRED: ("bolt", "good", lambda e: f"{_what(e)} fired it."),
    Verdict.POISON: (
        "error",
        "bad",
        lambda e: (
            f"{_what(e)} fired it, but three dispatches failed. It can be dispatched again on its page."
        ),
    ),
    Verdict.IGNORED: ("block", "wait", lambda e: f"{_what(e)} fired it, and was let go before it ran."),
    Verdict.UNCHANGED: ("horizontal_rule", "none", _unchanged),
    Verdict.DUPLICATE: (
        "content_copy",
        "none",
        lambda e: (
            f"{_what(e)} came again{_key(e)}. It was answered with the first event; nothing started twice."
        ),
    ),
    Verdict.KEY_REUSED: (
        "key_off",
        "bad",
        lambda e: f"{_what(e)} came with another body{_key(e)}, which had been used before, and was refused.",
    ),
    Verdict.PAUSED: ("pause", "wait", lambda e: f"{_what(e)} came while the workflow was paused."),
    Verdict.NOT_PUBLISHED: (
        "edit_off",
        "wait",
        lambda e: f"{_what(e)} came before the workflow was published.",
    ),
    Verdict.ARCHIVED: ("archive", "wait", lambda e: f"{_what(e)} came too late: the workflow is archived."),
    Verdict.OTHER_KIND: (
        "call_split",
        "wait",
        lambda e: f"{_what(e)} came, but the published version starts in another way.",
    ),
    Verdict.BAD_SIGNATURE: ("gpp_bad", "bad", _badly_signed),
    Verdict.THROTTLED: (
        "speed",
        "wait",
        lambda e: (
            f"{_what(e)} came while there were too many at once. The sender was told when to come again."
        ),
    ),
    Verdict.MALFORMED: ("broken_image", "bad", lambda e: f"{_what(e)} came that could not be read."),
    Verdict.OWN_CHANGE: (
        "sync_disabled",
        "none",
        lambda e: f"{_what(e)} was this workflow's own change, which does not start it again.",
    ),
    Verdict.TOO_DEEP: (
        "all_inclusive",
        "bad",
        lambda e: f"{_what(e)} lay too deep in a chain of workflows that start each other.",
    ),
    Verdict.MISSED: ("event_busy", "wait", _missed),
    Verdict.CLOCK_MOVED: ("schedule", "none", _clock_moved),
}
