"""What a model is told, within bounds: nobody is served by a model that drowns in a transcript. What is cut says so."""

from __future__ import annotations

from typing import Any, Final

from lightfield.kernel import strict_json

MOST_BYTES: Final = 32 << 10  # that one call tells, unless its permission says otherwise
LEAST_BYTES, LARGEST_BYTES = 1024, 56 << 10  # what a permission may say; the journal keeps 64 KiB of a result
# Characters of a text and items of a list or object, from generous to mean, until the whole fits.
_RUNGS: Final = ((16_000, 1000), (4000, 300), (1000, 100), (250, 30), (60, 10), (20, 3))


def size(value: Any) -> int:
    """Bytes of its JSON."""
    return len(strict_json.canonical(value).encode())


def cut(value: Any, most_bytes: int) -> tuple[Any, bool]:
    """The value within so many bytes of JSON, and whether something is missing. A mark stands where it was cut."""
    if size(value) <= most_bytes:
        return value, False
    if isinstance(value, str):
        return _cut_text(value, most_bytes), True
    for most_chars, most_items in _RUNGS:
        shorter = _shorter(value, most_chars, most_items)
        if size(shorter) <= most_bytes:
            return shorter, True
    return _cut_text(strict_json.canonical(value), most_bytes), True


def _cut_text(text: str, most_bytes: int) -> str:
    """As much of it as fits: what JSON escapes counts for more."""
    most_chars = most_bytes
    while size(shorter := _marked(text, most_chars)) > most_bytes and most_chars > 0:
        most_chars = most_chars * 3 // 4
    return shorter


def _marked(text: str, most_chars: int) -> str:
    left_out = len(text) - most_chars
    return text if left_out <= 0 else f"{text[:most_chars]}… [cut: {left_out:,} more characters]"


def _shorter(value: Any, most_chars: int, most_items: int) -> Any:
    if isinstance(value, str):
        return _marked(value, most_chars)
    left_out = len(value) - most_items if isinstance(value, list | dict) else 0
    if isinstance(value, list):
        mark = [f"… [cut: {left_out:,} more items]"] if left_out > 0 else []
        return [_shorter(item, most_chars, most_items) for item in value[:most_items]] + mark
    if isinstance(value, dict):
        kept = list(value.items())[:most_items]
        mark_of_fields = {"…": f"[cut: {left_out:,} more fields]"} if left_out > 0 else {}
        return {name: _shorter(item, most_chars, most_items) for name, item in kept} | mark_of_fields
    return value
