"""A message as an e-mail, through Django's mail backend. Its Message-ID is the same in every try."""

from __future__ import annotations

import smtplib
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage

from executions.notices.texts import mail_of
from lightfield.kernel.errors import PermanentStepError, TransientStepError


def mail(message_id: str, body: dict[str, Any], recipients: list[str]) -> None:
    """Hand it to the mail server, one message to all recipients. Taken by one of them, it counts as sent.

    Raises:
        PermanentStepError: `notice.email_not_configured`; `notice.email_refused` after a 5xx answer.
        TransientStepError: `notice.email_failed`: no connection, no answer in time, or a 4xx answer.
    """
    if not settings.EMAIL_HOST:
        raise PermanentStepError("notice.email_not_configured")
    subject, text = mail_of(body)
    host = settings.DEFAULT_FROM_EMAIL.rpartition("@")[2].strip("> ")
    message = EmailMessage(
        subject,
        text,
        settings.DEFAULT_FROM_EMAIL,
        recipients,
        headers={"Message-ID": f"<{message_id}@{host}>", "Auto-Submitted": "auto-generated"},
    )
    try:
        message.send()
    except smtplib.SMTPRecipientsRefused as error:
        answers = [code for code, _ in error.recipients.values()]
        raise _failed(min(answers, default=0), "every recipient was refused") from error
    except smtplib.SMTPResponseException as error:
        raise _failed(error.smtp_code, _words(error.smtp_error)) from error
    except (smtplib.SMTPException, OSError) as error:
        raise TransientStepError("notice.email_failed", f"{type(error).__name__}: {error}"[:300]) from error


def _failed(code: int, words: str) -> PermanentStepError | TransientStepError:
    told = f"The mail server answered {code}: {words}"[:300]
    if code >= 500:
        return PermanentStepError("notice.email_refused", told)
    return TransientStepError("notice.email_failed", told)


def _words(said: bytes | str) -> str:
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
