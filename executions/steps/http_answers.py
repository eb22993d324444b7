"""What an HTTP answer means to a step: a success or which error, and what of it is kept."""

from __future__ import annotations

import base64
import codecs
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from executions.egress.headers import REDACTED, is_secret
from lightfield.kernel import strict_json
from lightfield.kernel.catalogue import CATALOGUE
from lightfield.kernel.errors import RequestRefused

EXCERPT_CHARS: Final = 500
MAX_KEPT_BYTES: Final = 256 << 10  # of a body, in the step's output
MAX_HEADERS: Final = 100
MAX_HEADER_BYTES: Final = 16 << 10  # names and values together
MAX_HEADER_CHARS: Final = 4096

_CODES: Final = {
    408: "http.request_timeout",
    425: "http.too_early",
    429: "http.throttled",
    502: "http.unavailable",
    503: "http.unavailable",
    504: "http.unavailable",
}
_CODES_BY_CLASS: Final = {3: "http.redirect", 4: "http.client_error", 5: "http.server_error"}

# Python knows codecs that take a minute for a megabyte; these are what servers really send.
_CHARSETS: Final = frozenset(
    codecs.lookup(name).name
    for name in [
        *("utf-8", "ascii", "utf-16", "utf-16-le", "utf-16-be", "shift_jis", "euc_jp", "euc_kr"),
        *("gb2312", "gbk", "gb18030", "big5", "koi8-r", "koi8-u"),
        *(f"iso-8859-{part}" for part in (1, 2, 5, 7, 9, 15)),
        *(f"windows-125{part}" for part in range(9)),
    ]
)
_CHARSET = re.compile(r';\s*charset="?([A-Za-z0-9._:-]{1,40})', re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True)
class Verdict:
    """What a status means. `code` is None for a success."""

    code: str | None
    is_retryable: bool


def classify(status_code: int, retry_on_status: Collection[int] = ()) -> Verdict:
    """Only 2xx is a success. 408, 425, 429, 502, 503 and 504 are worth another try; others when opted in."""
    if 200 <= status_code < 300:
        return Verdict(None, is_retryable=False)
    code = _CODES.get(status_code) or _CODES_BY_CLASS.get(status_code // 100, "http.unexpected_status")
    return Verdict(code, is_retryable=CATALOGUE[code].retryable or status_code in retry_on_status)


def excerpt(body: bytes, secrets: Collection[str] = ()) -> str:
    """The beginning of a refusal's body for people: at most 500 characters, storable, without our secrets."""
    text = body[: EXCERPT_CHARS * 8].decode("utf-8", "replace")
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, REDACTED)
    return _CONTROL.sub(" ", text)[:EXCERPT_CHARS]


def output(status_code: int, headers: dict[str, str], body: bytes) -> dict[str, Any]:
    """The step's output. The body is JSON, else text, else base64 with `"encoding": "base64"`.

    JSON that could not be stored (see `strict_json`) stays text: it is the receiver's, and valid to others. Of a body that
    is larger than 256 KiB, as it would be kept, the beginning is kept as text or base64, with `"truncated": true` and
    `"size_bytes"`, its whole size as it came: the request has succeeded and its effect is done, so the step has, too.
    """
    answer: dict[str, Any] = {"status_code": status_code, **_shown_headers(headers), "body": ""}
    media_type, charset = _content_type(headers.get("content-type", ""))
    if _is_json(media_type) and body:
        try:
            json_text = body.removeprefix(codecs.BOM_UTF8)  # some servers cannot help it
            parsed = {**answer, "body": strict_json.parse(json_text, max_bytes=len(body))}
            strict_json.check(parsed)  # one level deeper and some values more than the body alone
        except RequestRefused:
            pass
        else:
            if (
                len(body) <= MAX_KEPT_BYTES
                or len(strict_json.canonical(parsed["body"]).encode()) <= MAX_KEPT_BYTES
            ):
                return parsed
    text = _as_text(body, charset)
    cut = {"truncated": True, "size_bytes": len(body)}
    if text is None:
        fits = len(body) <= MAX_KEPT_BYTES // 4 * 3
        kept = base64.b64encode(body[: MAX_KEPT_BYTES // 4 * 3]).decode("ascii")
        return {**answer, "body": kept, "encoding": "base64", **({} if fits else cut)}
    raw = text.encode()
    if len(raw) <= MAX_KEPT_BYTES:
        return {**answer, "body": text}
    return {**answer, "body": raw[:MAX_KEPT_BYTES].decode("utf-8", "ignore"), **cut}


def _shown_headers(headers: dict[str, str]) -> dict[str, Any]:
    """Those that tell who somebody is without their values; 16 KiB in all, each at most 4 KiB, and a mark if that is less."""
    shown: dict[str, str] = {}
    left = MAX_HEADER_BYTES
    for name, value in headers.items():
        kept = REDACTED if is_secret(name) else value[:MAX_HEADER_CHARS]
        size = len(name) + len(kept.encode())
        if len(name) <= strict_json.MAX_KEY_CHARS and size <= left and len(shown) < MAX_HEADERS:
            shown[name], left = kept, left - size
    is_whole = len(shown) == len(headers) and all(
        len(value) <= MAX_HEADER_CHARS for value in headers.values()
    )
    return {"headers": shown, **({} if is_whole else {"headers_truncated": True})}


def _content_type(header: str) -> tuple[str, str]:
    """The media type ("" when absent) and the charset, utf-8 unless another that we know is named."""
    named = _CHARSET.search(header)
    try:
        charset = codecs.lookup(named[1]).name if named else "utf-8"
    except (LookupError, ValueError):
        charset = "utf-8"
    return header.partition(";")[0].strip().lower(), charset if charset in _CHARSETS else "utf-8"


def _is_json(media_type: str) -> bool:
    """An answer without a content type is taken for JSON when it reads as such."""
    return media_type in ("", "application/json", "text/json") or media_type.endswith("+json")


def _as_text(body: bytes, charset: str) -> str | None:
    """The body as text that PostgreSQL can keep, or None when it is not."""
    try:
        text = body.decode(charset)
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text
