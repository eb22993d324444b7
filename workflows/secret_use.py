"""Which published workflows read which secrets. Told to `access.credentials`, which knows nothing of workflows."""

from __future__ import annotations

from collections.abc import Collection

from lightfield.access.credentials import Use, on_asking_users
from lightfield.kernel import sql

# The plan of a version names the secrets of each step that reads any.
USERS = """
SELECT DISTINCT n.name, w.id, w.name FROM workflows_workflow w
JOIN workflows_workflowversion v ON v.id = w.active_version_id
CROSS JOIN LATERAL jsonb_path_query(v.plan, '$[*].secrets[*]') AS s(found) CROSS JOIN LATERAL (SELECT s.found #>> '{}') n(name)
WHERE w.status <> 'archived' AND n.name = ANY(%(names)s::text[]) ORDER BY w.name, w.id
"""


@on_asking_users
def users_of(names: Collection[str]) -> dict[str, list[Use]]:
    """Active and paused workflows whose active version reads one of these secrets."""
    found: dict[str, list[Use]] = {name: [] for name in names}
    if names:
        for name, workflow_id, title in sql.rows(USERS, {"names": sorted(names)}):
            found[name].append(Use(workflow_id, title))
    return found
