"""The address of a webhook, looked at before its request is judged: whose it is, and how its requests are signed."""

from __future__ import annotations

from dataclasses import dataclass

from lightfield.kernel import sql
from triggers.decisions import Verdict
from triggers.outbox_statements import PRESENT, PREVIOUS, REFUSED_AS

# One look at an endpoint before a signature is judged, by the database's clock. Two secrets are the most there are.
# For an address that nobody has it looks at the next one there is, and says so: the same work in the same time.
LOOK_AT = f"""
WITH asked AS MATERIALIZED (
  SELECT {PRESENT} AS present, {PREVIOUS} AS previous,
    (SELECT id FROM triggers_trigger WHERE token_hash > %(token_hash)s::varchar
     ORDER BY token_hash LIMIT 1) AS above,
    (SELECT id FROM triggers_trigger ORDER BY token_hash LIMIT 1) AS lowest)
SELECT coalesce(present, previous) IS NOT NULL, t.id, {REFUSED_AS}, t.signing,
  extract(epoch FROM clock_timestamp())::float8,
  ARRAY(SELECT ARRAY[s.id::text, s.ciphertext] FROM triggers_webhooksecret s
        WHERE s.trigger_id = t.id AND s.signing = t.signing
          AND (s.expires_at IS NULL OR s.expires_at > clock_timestamp())
        ORDER BY s.id DESC LIMIT 2)
FROM asked JOIN triggers_trigger t ON t.id = coalesce(present, previous, above, lowest)
  JOIN workflows_workflow w ON w.id = t.workflow_id
"""


@dataclass(frozen=True)
class Endpoint:
    """What is known of an address before its request is judged."""

    trigger_id: int
    refused_as: Verdict | None
    signing: str  # a preset's name; empty: it takes requests unsigned
    sealed_secrets: list[tuple[str, str]]  # id and ciphertext of the live ones
    now: float  # Unix seconds, the database's


def look_at(token_hash: str) -> Endpoint | None:
    """Whose address it is and how its requests are signed; None when nobody has it."""
    found = sql.row(LOOK_AT, {"token_hash": token_hash})
    if found is None or not found[0]:
        return None
    _, trigger_id, refused_as, signing, now, sealed = found
    verdict = None if refused_as is None else Verdict(refused_as)
    return Endpoint(trigger_id, verdict, signing, [(one, text) for one, text in sealed], now)
