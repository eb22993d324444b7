"""One installation for all acceptance tests: eight processes, embedded servers, a far end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance import installation as installations
from tests.acceptance import sink as sinks
from tests.acceptance.installation import Installation
from tests.acceptance.sink import Sink


@pytest.fixture(scope="session")
def sink() -> Iterator[Sink]:
    with sinks.running() as sink:
        yield sink


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory, sink: Sink) -> Iterator[Installation]:
    home = tmp_path_factory.mktemp("installation")
    with installations.running(home, LIGHTFIELD_EGRESS_ALLOW=f"127.0.0.1:{sink.port}") as installation:
        yield installation
