"""Keys of requests that an agent sent in the run that is replayed: the same request goes out under the same key again.

A replayed agent begins anew, and its model may say something else. What it wants sent as it was sent before carries the key of
that time, so a receiver that honours keys does not act again; anything else has a key of its own. A request that was refused gets
a new key, since some answer a used key with the stored refusal; one that was taken keeps it, also where its answer was of no use.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from executions.agents.values import JsonObject
from lightfield.kernel import sql, strict_json

SENT_BEFORE: Final = """
WITH RECURSIVE up AS (
  SELECT replay_of_id AS id, 1 AS above FROM executions_run WHERE id = %(run_id)s::uuid
  UNION ALL
  SELECT r.replay_of_id, up.above + 1 FROM up JOIN executions_run r ON r.id = up.id)
SELECT DISTINCT ON (up.above, t.number) t.key, t.name, t.asked->'request'
FROM up JOIN executions_steprun s ON s.run_id = up.id AND s.key = %(step)s::text
JOIN executions_agentturn t ON t.step_run_id = s.id
WHERE t.asked->'request' IS NOT NULL
  AND (t.error_code IS NULL OR t.answer->'error'->'details'->>'status_code' LIKE '2__')
  -- refused by an answer that is told as any other; those left out say that it may still be under way, or was not looked at
  AND coalesce(t.answer->>'status_code', '') !~ '^4(?!08|09|25|29)'
ORDER BY up.above, t.number
"""


class KeptKeys:
    """Of one replayed step; empty for any other."""

    def __init__(self, found: Iterable[tuple[str, str, Any]] = ()) -> None:
        self._keys: dict[tuple[str, str], list[str]] = {}
        for key, name, request in found:
            self._keys.setdefault((name, strict_json.canonical(request)), []).append(key)

    def key_of(self, name: str, request: JsonObject, used: Iterable[str]) -> str | None:
        """The key that this request had, unless a call of this step has it already."""
        taken = set(used)
        known = self._keys.get((name, strict_json.canonical(request)), [])
        return next((key for key in known if key not in taken), None)


def load(run_id: str, step_key: str) -> KeptKeys:
    found = sql.rows(SENT_BEFORE, {"run_id": run_id, "step": step_key})
    return KeptKeys((key, name, strict_json.from_storage(request)) for key, name, request in found)
