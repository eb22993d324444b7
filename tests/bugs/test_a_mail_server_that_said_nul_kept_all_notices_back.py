"""PostgreSQL keeps no NUL. What a mail server said went into the row as it came, so that a message it refused with one was never
`failed`: it was tried under lease after lease, and each time the error ended the turn for all messages behind it."""

from __future__ import annotations

from typing import Any

import pytest

from executions.notices import outgoing
from executions.notices.models import NoticeMessage
from tests.bellboy import Bellboy
from tests.failing import BROKEN, a_telling_workflow, runs_of, statuses
from tests.mail_server import a_mail_server
from tests.servers import a_server, answering, http

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]


def test_given_a_refusal_with_nul_in_it_then_it_is_written_and_others_are_told(
    bellboy: Bellboy, settings: Any
) -> None:
    settings.LIGHTFIELD_EGRESS_ALLOW, settings.LIGHTFIELD_OWN_SERVERS = "127.0.0.0/8", []
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.DEFAULT_FROM_EMAIL = "lightfield@example.com"
    with a_mail_server() as mail, a_server(answering(http())) as receiver:
        settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_USE_TLS = "127.0.0.1", mail.port, False
        mail.says["RCPT"] = "550 no \0 such person"
        mail.says["MAIL"] = "550 not \0 you"
        runs_of(bellboy, a_telling_workflow(None, email=["ops@example.com"]), BROKEN)
        runs_of(bellboy, a_telling_workflow(receiver.url), BROKEN)

        outgoing.send_due()

    assert sorted(statuses()) == [("email", "failed", "notice.email_refused"), ("webhook", "sent", None)]
    assert "not \ufffd you" in NoticeMessage.objects.get(channel="email").error
