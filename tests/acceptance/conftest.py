"""One installation for all acceptance tests: eight processes, embedded servers, a far end, a model."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lightfield.local import demo_model
from lightfield.local.scripted_model import ScriptedModel
from tests.acceptance import installation as installations
from tests.acceptance import sink as sinks
from tests.acceptance.installation import Installation
from tests.acceptance.sink import Sink


@pytest.fixture(scope="session")
def sink() -> Iterator[Sink]:
    with sinks.running() as sink:
        yield sink


@pytest.fixture(scope="session")
def model() -> Iterator[ScriptedModel]:
    """Of either provider's shape; it knows the script of the demo."""
    model = ScriptedModel({"*": demo_model.SCRIPT})
    model.start()
    yield model
    model.stop()


@pytest.fixture(scope="session")
def installation(
    tmp_path_factory: pytest.TempPathFactory, sink: Sink, model: ScriptedModel
) -> Iterator[Installation]:
    home = tmp_path_factory.mktemp("installation")
    allowed = f"127.0.0.1:{sink.port},{model.endpoint}"
    with installations.running(home, LIGHTFIELD_EGRESS_ALLOW=allowed) as installation:
        yield installation
