"""An installation's model where a test has none: what leaves the model out, or names one of the same provider, can be published."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Final

from django.conf import settings
from django.test import override_settings

# Nobody is there: every question is answered by the test, or refused.
STAND_INS: Final = {
    "LIGHTFIELD_AI_MODEL": "a-test-s-model",
    "LIGHTFIELD_AI_BASE_URL": "https://models.example/v1",
}


def a_model() -> AbstractContextManager[Any]:
    """Around all that looks for it. What the test's settings say is kept."""
    if settings.LIGHTFIELD_AI_MODEL or settings.LIGHTFIELD_AI_BASE_URL or settings.LIGHTFIELD_AI_API_KEY:
        return override_settings()
    return override_settings(**STAND_INS)
