"""Idempotency-Key on the API: the same request twice has one effect and one answer.

The key is claimed in a transaction of its own, so that a twin arriving meanwhile is told `in_flight`. The deed
and its answer are then written in one transaction: a crash leaves both or neither. What is left of a crash in
between is a claim without an answer; once its lease is over, the next twin takes it and does the deed.

The claim's lease is its fence. A request that slept through it finds another lease in the row when it stores its
answer, and rolls its own deed back.

Answers below 500 are kept, refusals too. A 5xx is not: the claim is given up and the caller may try again.
"""

from __future__ import annotations

import contextlib
import functools
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Concatenate, Final, ParamSpec, TypeVar

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.http import UnreadablePostError
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from lightfield.access import keyring
from lightfield.access.auth import caller_of
from lightfield.access.models import StoredAnswer
from lightfield.kernel import idempotency_key, sql, strict_json
from lightfield.kernel.errors import RequestRefused

LEASE_SECONDS: Final = 60  # far above what a request may take: its statements end after 5 s each
PROBLEM_TYPE: Final = "application/problem+json"
REPLAYED: Final = "Idempotent-Replayed"

MARK: Final = "is_answered_once"  # looked for by the test of all POST methods

P = ParamSpec("P")
View = TypeVar("View", bound=APIView)
Handler = Callable[Concatenate[View, Request, P], Response]

# A row comes back when the key is new, or when its claim was left unanswered by the same request.
CLAIM: Final = """
INSERT INTO access_storedanswer AS held (principal, key, request_digest, lease_expires_at)
VALUES (%(principal)s, %(key)s, %(digest)s, clock_timestamp() + make_interval(secs => %(lease)s))
ON CONFLICT (principal, key) DO UPDATE SET lease_expires_at = EXCLUDED.lease_expires_at
  WHERE held.status_code IS NULL AND held.lease_expires_at < clock_timestamp()
    AND held.request_digest = EXCLUDED.request_digest
RETURNING id, lease_expires_at
"""
LOOK: Final = """
SELECT id, request_digest, status_code, body FROM access_storedanswer WHERE principal = %(principal)s AND key = %(key)s
"""


class ClaimLost(Exception):
    """The lease was over and a twin took the claim: what was done under it must be rolled back."""


@dataclass(frozen=True)
class Claim:
    """The right to answer: good as long as the row holds this lease."""

    id: int
    lease_expires_at: datetime

    def store(self, response: Response) -> None:
        """Keep the answer. Raises ClaimLost when somebody else took the claim over."""
        text = JSONRenderer().render(response.data).decode()
        body = keyring.encrypt(text, bound_to=binding(self.id))
        if not self._row().update(status_code=response.status_code, body=body):
            raise ClaimLost

    def give_up(self) -> None:
        self._row().delete()

    def _row(self) -> QuerySet[StoredAnswer]:
        return StoredAnswer.objects.filter(
            pk=self.id, lease_expires_at=self.lease_expires_at, status_code__isnull=True
        )


def answered_once(handler: Handler[View, P]) -> Handler[View, P]:
    """Decorator for the POST methods of a view.

    Raises:
        RequestRefused: `idempotency.key_invalid`, `idempotency.key_reused` for another request under the key,
            `idempotency.in_flight` while its twin is being answered.
    """

    @functools.wraps(handler)
    def answer(view: View, request: Request, /, *args: P.args, **kwargs: P.kwargs) -> Response:
        key = idempotency_key.read(request.headers.get(idempotency_key.HEADER))
        if key is None:
            return handler(view, request, *args, **kwargs)
        digest = _digest(request)
        request.data  # noqa: B018  a body that cannot be read is refused before it binds the key
        claim = _claim(principal=caller_of(request).id, key=key, digest=digest)
        if isinstance(claim, Response):
            return claim
        try:
            with transaction.atomic():
                response = handler(view, request, *args, **kwargs)
                claim.store(response)
        except ClaimLost as error:
            raise RequestRefused("idempotency.in_flight") from error
        except Exception as error:  # noqa: BLE001  the view's own handler answers it
            response = _refusal(view, claim, error)
        return response

    setattr(answer, MARK, True)
    return answer


def _claim(*, principal: str, key: str, digest: bytes) -> Claim | Response:
    """The claim on a key, or the answer that is stored under it."""
    params = {
        "principal": principal,
        "key": idempotency_key.stored(key),
        "digest": digest,
        "lease": LEASE_SECONDS,
    }
    claimed = sql.row(CLAIM, params)
    if claimed is not None:
        return Claim(*claimed)
    held = sql.row(LOOK, params)
    if held is None:  # given up between the two statements: its twin failed, and says so to its own caller
        raise RequestRefused("idempotency.in_flight")
    row_id, request_digest, status_code, body = held
    if bytes(request_digest) != digest:
        raise RequestRefused("idempotency.key_reused")
    if status_code is None:
        raise RequestRefused("idempotency.in_flight")
    content = json.loads(keyring.decrypt(body, bound_to=binding(row_id)))
    content_type = PROBLEM_TYPE if status_code >= 400 else None
    return Response(content, status=status_code, headers={REPLAYED: "true"}, content_type=content_type)


def _refusal(view: APIView, claim: Claim, error: Exception) -> Response:
    """The answer to a request that failed: kept when it is the caller's fault, else the key is free again."""
    response = view.handle_exception(error)
    if response.status_code < 500:
        with contextlib.suppress(ClaimLost):  # nothing was done, so nothing is to be undone
            claim.store(response)
    else:
        claim.give_up()
    return response


def _digest(request: Request) -> bytes:
    """A keyed SHA-256 over method, path with query, and body: what makes two requests the same."""
    try:
        body = request._request.body
    except UnreadablePostError as error:
        raise RequestRefused("payload.incomplete") from error
    line = f"{request.method} {request.get_full_path()}\n".encode()
    return hmac.digest(settings.SECRET_KEY.encode(), line + strict_json.digest(body), "sha256")


def binding(row_id: int) -> str:
    """What a stored answer is bound to."""
    return f"stored-answer:{row_id}"
