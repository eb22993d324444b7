"""`auth` of type header with a value that is written out went along with a redirect to another origin, unless its name looked secret.

Found in a review of secrets: `X-Shop-Access: …` stayed, `X-Api-Key: …` was dropped.
"""

from __future__ import annotations

import pytest

from tests.integration.test_secrets_in_runs import calling, redirecting, run_of
from tests.integration.test_secrets_in_runs import no_own_servers as no_own_servers  # for every test here
from tests.servers import a_server, answering, http

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]

AUTH = {"type": "header", "name": "X-Shop-Access", "value": "written-out"}


def test_only_the_first_origin_gets_it(bellboy, settings):
    with (
        a_server(answering(http("200 OK", b"{}"))) as stranger,
        a_server(answering(redirecting(f"{stranger.url}/b"))) as server,
    ):
        settings.LIGHTFIELD_EGRESS_ALLOW = f"{server.endpoint},{stranger.endpoint}"
        run = run_of(bellboy, calling(server.url, auth=AUTH, allow_redirects=True))

    assert run.status == "completed"
    assert server.requests[0].headers["x-shop-access"] == "written-out"
    assert "x-shop-access" not in stranger.requests[0].headers


def test_a_redirect_within_its_origin_gets_it(bellboy, settings):
    answers = iter([redirecting("/b"), http("200 OK", b"{}")])

    def answer(visit):
        while visit.receive() is not None:
            visit.send(next(answers))

    with a_server(answer) as server:
        settings.LIGHTFIELD_EGRESS_ALLOW = server.endpoint
        run = run_of(bellboy, calling(server.url, auth=AUTH, allow_redirects=True))

    assert run.status == "completed"
    assert [request.headers.get("x-shop-access") for request in server.requests] == ["written-out"] * 2
