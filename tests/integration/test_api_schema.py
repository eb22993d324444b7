"""The OpenAPI document is valid, complete and true; its page needs nothing from the network."""

from __future__ import annotations

import contextlib
import io
import json
import re
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from lightfield.kernel.catalogue import CATALOGUE
from tests.integration.test_access_matrix import MATRIX, addresses

ALWAYS = {"401", "403", "503"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    out = io.StringIO()
    call_command("spectacular", "--validate", "--fail-on-warn", "--format", "openapi-json", stdout=out)
    read: dict[str, Any] = json.loads(out.getvalue())
    return read


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    found = {}
    for path, methods in document["paths"].items():
        if path.startswith("/api/v1/"):
            address = (
                path.removeprefix("/api/v1/")
                .replace("{id}", "<str:pk>" if path.startswith("/api/v1/errors/") else "<uuid:pk>")
                .replace("{number}", "<int:number>")
                .replace("{secret_id}", "<uuid:secret_id>")
                .replace("{key}", "<slug:key>")
            )
            found.update({(method.upper(), address): operation for method, operation in methods.items()})
    return found


def test_the_document_is_valid_and_holds_every_operation(document):
    assert document["openapi"].startswith("3.")
    assert set(operations(document)) == set(MATRIX)
    assert sum(1 for address, _ in addresses() if address.startswith("api/v1/")) == len(
        [path for path in document["paths"] if path.startswith("/api/v1/")]
    )


def test_every_operation_tells_its_answers_its_rights_and_what_it_does(document):
    for (method, address), operation in operations(document).items():
        responses = set(operation["responses"])
        assert responses >= ALWAYS, (method, address)
        assert any(status.startswith("2") for status in responses)
        assert ("404" in responses) == (":pk>" in address)
        assert ("409" in responses) == (method != "GET")
        assert {"apiKey": []} in operation["security"]
        assert {"session": []} in operation["security"]
        assert operation["description"]
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                assert set(response["content"]) == {"application/problem+json"}


def test_lists_are_pages_and_posts_take_an_idempotency_key(document):
    for (method, address), operation in operations(document).items():
        names = {parameter["name"] for parameter in operation.get("parameters", [])}
        is_list = method == "GET" and not address.endswith(
            (":pk>", ":number>", "/chain", "/summary", "-preview", "/samples")
        )
        assert ({"limit", "cursor"} <= names) == is_list, address
        assert ("Idempotency-Key" in names) == (method == "POST")
        if is_list:
            reference = operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
            page = document["components"]["schemas"][reference.rpartition("/")[2]]
            assert set(page["properties"]) == {"next", "previous", "results"}


def test_run_filters_are_those_of_the_contract(document):
    names = {parameter["name"] for parameter in operations(document)["GET", "runs"]["parameters"]}

    assert names == {"workflow", "status", "error_code", "trace_id", "since", "limit", "cursor"}


def test_problem_codes_are_the_catalogues(document):
    codes = document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]

    assert codes == sorted(code for code, entry in CATALOGUE.items() if entry.status)


def test_every_reference_leads_somewhere(document):
    text = json.dumps(document)

    for name in set(re.findall(r"#/components/schemas/([A-Za-z0-9_]+)", text)):
        assert name in document["components"]["schemas"], name


def test_the_document_and_its_page_are_served_to_everybody():
    assert Client().get("/api/schema").status_code == 200
    assert Client().get("/api/schema", headers={"Accept": "application/json"}).json()["info"]["title"]
    assert Client().get("/api/schema", headers={"Authorization": "Bearer lf_wrong"}).status_code == 200


@pytest.mark.django_db  # closing a file looks at the connection that earlier tests may have left
def test_the_page_fetches_nothing_from_elsewhere():
    page = Client().get("/api/docs").content.decode()

    fetched = re.findall(r"""(?:src|href)=["']([^"']+)""", page)
    assert len(fetched) >= 3
    for url in fetched:
        assert url.startswith("/static/drf_spectacular_sidecar/"), url
        with contextlib.closing(Client().get(url)) as file:
            assert file.status_code == 200
    assert "http://" not in page
    assert "https://" not in page
