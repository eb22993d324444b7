"""`lightfield.testing.run` found no task but in this project's own tests, where another module had imported them.

Seen by following docs/howto/test-your-workflows.md in a project of its own: `NotRegistered: 'executions.dispatch_shard'`.
"""

from __future__ import annotations

import os
import subprocess
import sys

SCRIPT = """
import django

django.setup()

from lightfield.celery import app
from lightfield.testing import run  # noqa: F401  as an author does
from lightfield.testing.ringing import Ringer

Ringer()
print(*sorted(name for name in app.tasks if not name.startswith("celery.")))
"""


def test_a_process_that_imported_nothing_but_lightfield_testing_answers_every_bell() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "lightfield.settings", "LIGHTFIELD_ROLE": "command"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert {"executions.dispatch_shard", "executions.execute_steps", "executions.send_notices"} <= set(
        done.stdout.split()
    )
