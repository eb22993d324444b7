"""A process that knows of no host yet, and a host that fails."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.failing_hosts import Host, a_host, a_process_that_tells_at_once


@pytest.fixture
def a_process(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from a_process_that_tells_at_once(settings, monkeypatch)


@pytest.fixture
def host(a_process: None) -> Iterator[Host]:
    with a_host() as found:
        yield found
