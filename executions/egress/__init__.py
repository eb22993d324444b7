"""Everything that leaves this system by HTTP passes here: `egress.request`.

A URL is read once (`urls`), judged (`policy`, `addresses`), connected to at the very address that was judged
(`wires`), and answered within bounds of time and size (`conversation`, `decoding`).
"""

from executions.egress import checks  # noqa: F401  registers the check of our settings
from executions.egress.breaker import Turn
from executions.egress.client import Answer
from executions.egress.current import current_breaker, own_servers, policy_from_settings, request, use

__all__ = ["Answer", "Turn", "current_breaker", "own_servers", "policy_from_settings", "request", "use"]
