"""List filters: those that a view names, each value checked. Nothing else of a query string reaches the ORM."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.request import Request
from rest_framework.views import APIView

from lightfield.access import pagination
from lightfield.access.pagination import invalid_parameter
from lightfield.kernel.errors import Problem, RequestRefused


class StrictFilterBackend(DjangoFilterBackend):
    """A misspelt filter that was ignored would answer with everything, so it is refused.

    Raises:
        RequestRefused: `request.invalid`, with a problem per parameter that is unknown, doubled or has a bad value.
    """

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: APIView) -> QuerySet[Any]:
        filterset = self.get_filterset(request, queryset, view)
        known = frozenset() if filterset is None else frozenset(filterset.filters)
        for name, values in request.query_params.lists():
            if name not in known | pagination.PARAMETERS:
                raise invalid_parameter(name, "There is no such filter.")
            if len(values) > 1:
                raise invalid_parameter(name, "It is given more than once.")
            if not values[0]:  # django-filter would leave it out, and the answer would be everything
                raise invalid_parameter(name, "It has no value.")
        if filterset is None:
            return queryset
        if not filterset.is_valid():
            raise RequestRefused(
                "request.invalid", "A filter has a wrong value.", _problems(filterset.errors)
            )
        found: QuerySet[Any] = filterset.qs
        return found


def _problems(errors: Any) -> list[Problem]:
    return [
        Problem(f"/{name}", "request.invalid", str(message))
        for name, messages in errors.items()
        for message in messages
    ]
