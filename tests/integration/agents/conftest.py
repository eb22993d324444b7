from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.agents import agents_installed


@pytest.fixture(autouse=True)
def agents() -> Iterator[None]:
    """A step type `test_agent`, and tools that read, write and send."""
    with agents_installed():
        yield
