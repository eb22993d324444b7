"""A real installation whose workflow fails: it is told by webhook and e-mail, and paused. Nothing of it is in our process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lightfield.local.calls import Api
from tests.acceptance.installation import running
from tests.mail_server import a_mail_server
from tests.servers import a_server, answering, http

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def test_failures_are_told_and_pause_the_workflow(tmp_path: Path) -> None:
    with a_server(answering(http())) as far, a_mail_server() as mail:
        told = {"webhook": {"url": far.url}, "email": ["ops@example.com"], "every_seconds": 10}
        environ = {
            "LIGHTFIELD_EGRESS_ALLOW": far.endpoint,
            "LIGHTFIELD_EMAIL_HOST": "127.0.0.1",
            "LIGHTFIELD_EMAIL_PORT": str(mail.port),
            "LIGHTFIELD_EMAIL_SECURITY": "none",
            "LIGHTFIELD_PUBLIC_URL": "https://lightfield.example.com",
        }
        with running(tmp_path, **environ) as installation:
            workflow = installation.publish(
                {"key": "say", "type": "log", "config": {"message": "{{ trigger.field }}"}},
                settings={"on_failure": told, "pause_after_failures": 3},
            )
            for number in range(3):
                Api(installation.api.base).post(workflow["webhook_url"], {"n": number})

            address = f"/api/v1/workflows/{workflow['id']}"
            installation.wait_for("the pause", lambda: installation.api.get(address)["status"] == "paused")
            installation.wait_for("the mails", lambda: len(mail.taken) >= 2)
            assert installation.api.get(address)["paused_reason"] == "workflow.failing"
            verified = installation.manage("verify")
            assert verified.returncode == 0, verified.stdout

    bodies = [json.loads(request.body) for request in far.requests]
    assert {body["type"] for body in bodies} == {"run.failed", "workflow.paused"}
    assert all(
        run["url"].startswith("https://lightfield.example.com/admin/")
        for body in bodies
        for run in body["data"]["runs"]
    )
    assert "was paused: 3 runs failed in a row" in "".join(message["Subject"] for _, message in mail.taken)
