"""Who calls, and what they may do.

A caller is an API key or the session of a member of staff. What a request takes is a `Right`, declared by the
view for each of its actions; what no view declares is refused to everybody. A key holds every right up to its
scope; a session holds those whose Django permission its user has. Verbs are separate rights on purpose: being
able to read a run must never be enough to start one again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from django.contrib.auth.models import AbstractBaseUser, PermissionsMixin
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from typing_extensions import override

from lightfield.access.keys import find_key
from lightfield.access.models import ApiKey, Scope
from lightfield.kernel.errors import RequestRefused

if TYPE_CHECKING:  # the settings name this module, and DRF's views read the settings
    from rest_framework.views import APIView

SCOPE_ORDER: Final = [Scope.VIEWER, Scope.OPERATOR, Scope.BUILDER, Scope.ADMIN]
REALM: Final = 'Bearer realm="lightfield"'


@dataclass(frozen=True)
class Right:
    """What a request takes: the narrowest scope of a key, or the permission of a signed-in person."""

    scope: Scope
    permission: str  # app_label.codename; empty: any member of staff


ANY_CALLER: Final = Right(Scope.VIEWER, "")  # for what is the same in every installation


class Caller(ABC):
    """Takes the place of `request.user` in every API request."""

    is_authenticated = True
    id: str  # tells callers apart: stored answers belong to one
    name: str  # for the audit trail
    user_id: int | None = None  # of a person

    @abstractmethod
    def may(self, right: Right) -> bool: ...


class KeyCaller(Caller):
    def __init__(self, key: ApiKey) -> None:
        self.id = f"key:{key.pk}"
        self.name = f"{key.name} ({key.prefix}…)"
        self._scope = Scope(key.scope)

    def may(self, right: Right) -> bool:
        return SCOPE_ORDER.index(self._scope) >= SCOPE_ORDER.index(right.scope)


class SessionCaller(Caller):
    def __init__(self, user: AbstractBaseUser) -> None:
        self.id = f"user:{user.pk}"
        self.name = user.get_username()
        self.user_id = user.pk
        self._user = user

    def may(self, right: Right) -> bool:
        user = self._user
        if not isinstance(user, PermissionsMixin) or not _is_staff(user):
            return False
        return not right.permission or user.has_perm(right.permission)


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer lf_…`. A header with a bad key is refused, whatever cookies come with it."""

    def authenticate(self, request: Request) -> tuple[Caller, None] | None:
        scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        return KeyCaller(find_key(secret.strip())), None

    @override
    def authenticate_header(self, request: Request) -> str:
        return REALM


class StaffSessionAuthentication(SessionAuthentication):
    """The session of the admin site. Unsafe methods need its CSRF token."""

    def authenticate(self, request: Request) -> tuple[Caller, None] | None:  # type: ignore[override]  # a caller of ours, not Django's user
        found = super().authenticate(request)
        return None if found is None else (SessionCaller(found[0]), None)

    def enforce_csrf(self, request: Request) -> None:
        try:
            super().enforce_csrf(request)
        except PermissionDenied as error:
            raise RequestRefused("auth.csrf", f"{error.detail}.") from error


class HasRight(BasePermission):
    """The caller holds the right that the view declares for this action. Nothing declared: nobody does."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        if not isinstance(request.user, Caller):
            return False  # DRF answers 401
        if request.method not in view.allowed_methods:
            return True  # 405 follows
        right = getattr(view, "rights", {}).get(getattr(view, "action", None))
        return right is not None and request.user.may(right)


def caller_of(request: Request) -> Caller:
    """The caller of a request that was let in."""
    return cast(Caller, request.user)


def _is_staff(user: PermissionsMixin) -> bool:
    return bool(getattr(user, "is_staff", False))
