"""A key of the API, to see records as others do."""

from __future__ import annotations

import pytest

from tests.api_client import ApiCaller


@pytest.fixture
def api(transactional_db: None) -> ApiCaller:
    return ApiCaller()
