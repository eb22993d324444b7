"""Receivers of notices: real servers on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from executions.egress import current
from tests.mail_server import MailServer, a_mail_server
from tests.servers import Server, a_server, answering, http


@pytest.fixture(autouse=True)
def _loopback_allowed(settings: Any) -> Iterator[None]:
    settings.LIGHTFIELD_EGRESS_ALLOW = "127.0.0.0/8"
    settings.LIGHTFIELD_OWN_SERVERS = []
    yield
    current.close()


@pytest.fixture
def receiver() -> Iterator[Server]:
    """Answers 200; `receiver.requests` are what came."""
    with a_server(answering(http())) as server:
        yield server


@pytest.fixture
def mail(settings: Any) -> Iterator[MailServer]:
    """The installation's mail server."""
    with a_mail_server() as server:
        settings.EMAIL_BACKEND = (
            "django.core.mail.backends.smtp.EmailBackend"  # tests have another by default
        )
        settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_USE_TLS = "127.0.0.1", server.port, False
        settings.DEFAULT_FROM_EMAIL = "lightfield@example.com"
        yield server
