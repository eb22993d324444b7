"""docker-compose.yml says what lightfield/local/processes.py says, and .env.example names every variable."""

import re

import pytest
import yaml

from lightfield.local import processes
from lightfield.local.boot import ROOT

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
TABLE = processes.table(bind="0.0.0.0", port="8000", flower_port="5555")


@pytest.mark.parametrize("process", TABLE, ids=lambda process: process.name)
def test_compose_runs_the_same_command_with_the_same_health_check(process):
    service = COMPOSE["services"][process.name]

    assert tuple(service["command"]) == process.command
    assert service["healthcheck"]["test"] == ["CMD", *process.health]
    assert service["environment"]["LIGHTFIELD_ROLE"] == process.role
    assert service["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


def test_compose_has_these_processes_their_servers_and_one_migration():
    assert set(COMPOSE["services"]) == {process.name for process in TABLE} | {"postgres", "redis", "migrate"}
    assert tuple(COMPOSE["services"]["migrate"]["command"]) == processes.MIGRATE


def test_compose_opens_nothing_to_other_machines_and_nothing_without_a_password():
    for service in COMPOSE["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert COMPOSE["services"]["flower"]["environment"]["FLOWER_BASIC_AUTH"].startswith(
        "${FLOWER_BASIC_AUTH:?"
    )
    for secret in (
        "POSTGRES_PASSWORD",
        "REDIS_PASSWORD",
        "LIGHTFIELD_SECRET_KEY",
        "LIGHTFIELD_ENCRYPTION_KEYS",
    ):
        assert f"${{{secret}:-" not in (ROOT / "docker-compose.yml").read_text(), "a secret has a default"


def test_every_variable_that_is_read_stands_in_the_example_and_the_other_way_round():
    read = set()
    for folder in ("lightfield", "workflows", "triggers", "executions", "crm"):
        for path in (ROOT / folder).rglob("*.py"):
            read |= set(re.findall(r"\b(?:env\.\w+|given|getenv)\(\s*\"([A-Z_]+)\"", path.read_text()))
    example = (ROOT / ".env.example").read_text()
    named = set(re.findall(r"^#([A-Z_]+)=", example, re.MULTILINE))

    not_for_people = {"LIGHTFIELD_ROLE", "FLOWER_UNAUTHENTICATED_API"}  # set by bin/up; refused

    assert read - not_for_people <= named
    by_lane = {f"LIGHTFIELD_{lane.upper()}_WORKERS" for lane in processes.WORKER_THREADS}
    elsewhere = {"LIGHTFIELD_HOME", "LIGHTFIELD_PYTHON", "POSTGRES_PASSWORD", "REDIS_PASSWORD"}
    assert named - read == by_lane | elsewhere
