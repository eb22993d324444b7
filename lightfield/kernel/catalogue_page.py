"""docs/errors.md, written from the catalogue."""

from __future__ import annotations

from itertools import groupby
from typing import Final

from lightfield.kernel.catalogue import CATALOGUE, NAMESPACES, Entry

HEAD: Final = """\
# Errors

Written by `bin/manage errors --write` from `lightfield/kernel/catalogue.py`: change that, not this page. A test fails when the two
differ, on a code that is raised and not listed, and on one that is listed and that no test has seen raised
(`tests/architecture/test_codes.py`).

Every error that leaves the system has a code, `namespace.name`, which never changes once released. It stands in the answer of a
refused request, on the attempt, step and run that failed, and in the timeline; lists of runs filter by it (`?error_code=`).
`GET /api/v1/errors` is this table as JSON, and the `type` of a refusal, `/errors/<code>`, leads to the entry of one code, as a page for
people and as JSON for programs.

**Retried**: a step that fails with the code is tried again, as its `retry` settings say; *no* means that trying again cannot help. A status in
`retry_on_status` is retried whatever stands here. **Status**: of the HTTP answer, where the code answers a request; without one it is only
ever stored or listed in another answer's `errors`.
"""


def page() -> str:
    """The whole page, of this project's own codes."""
    own = [entry for entry in CATALOGUE.values() if entry.namespace in NAMESPACES]
    order = list(NAMESPACES)
    own.sort(key=lambda entry: order.index(entry.namespace))  # stable: within a namespace as in the catalogue
    return HEAD + "".join(
        _section(namespace, list(entries)) for namespace, entries in groupby(own, lambda one: one.namespace)
    )


def _section(namespace: str, entries: list[Entry]) -> str:
    rows = "\n".join(
        f"| `{entry.code}` | {'yes' if entry.retryable else 'no'} | {entry.status or ''} | {_cell(entry.meaning)} | {_cell(entry.remedy)} |"
        for entry in entries
    )
    head = "| code | retried | status | meaning | what to do |\n|---|---|---|---|---|"
    return f"\n## {namespace}\n\n{NAMESPACES[namespace]}.\n\n{head}\n{rows}\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
