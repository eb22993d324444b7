"""What gunicorn may log. A webhook's address is a secret, and a header may be one.

The installation runs without an access log. Whoever turns it on (`--access-logfile`), in whatever format, gets lines that
hold no address of a webhook and of headers only those that are listed here; all else is shown as `-`.
"""

from __future__ import annotations

import logging
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from lightfield.kernel.secret_paths import without_addresses

HOOKS: Final = "hooks/"
SHOWN: Final = frozenset({"h", "t", "s", "m", "H", "b", "B", "a", "T", "D", "M", "L", "p"})
SHOWN_HEADERS: Final = frozenset(
    {
        *("{accept}i", "{content-length}i", "{content-type}i", "{host}i", "{traceparent}i", "{user-agent}i"),
        *("{x-forwarded-for}i", "{x-forwarded-proto}i", "{x-request-id}i"),
        *("{allow}o", "{content-length}o", "{content-type}o", "{retry-after}o"),
        *("{remote_addr}e", "{remote_port}e"),
    }
)


def keep_secrets_out(log: Any) -> None:
    """Put the filters on gunicorn's two loggers; once, also when each worker asks for it."""
    _once(log.access_log, OfAccess())
    _once(log.error_log, OfErrors())


def _once(logger: logging.Logger, wanted: logging.Filter) -> None:
    if not any(type(known) is type(wanted) for known in logger.filters):
        logger.addFilter(wanted)


class OfAccess(logging.Filter):
    """One line for each request, made of the atoms that gunicorn documents for `--access-logformat`."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, dict):
            record.args = type(record.args)(_shown(record.args))
        else:
            record.msg, record.args = "a request", ()
        return True


def _shown(atoms: dict[str, Any]) -> dict[str, Any]:
    shown = {name: atoms[name] for name in atoms.keys() & (SHOWN | SHOWN_HEADERS)}
    line, path = str(atoms.get("r", "-")), str(atoms.get("U", "-"))
    if HOOKS in unquote(unquote(f"{line} {path}")).lower():
        shown |= {"r": f"{atoms.get('m', '-')} /hooks/… {atoms.get('H', '-')}", "U": "/hooks/…", "q": "-"}
    else:
        shown |= {"r": line, "U": path, "q": atoms.get("q", "-")}
    shown["f"] = _origin(str(atoms.get("f", "-")))
    return {
        name: without_addresses(value) if isinstance(value, str) else value for name, value in shown.items()
    }


def _origin(referer: str) -> str:
    """`https://example.com`: a page's path and query are its own business."""
    try:
        parts = urlsplit(referer)
    except ValueError:
        return "-"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else "-"


class OfErrors(logging.Filter):
    """What is left is a second lock: `web_worker` puts nothing of a request into these lines."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = without_addresses(record.getMessage()), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = without_addresses(logging.Formatter().formatException(record.exc_info))
        return True
