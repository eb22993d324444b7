"""A header of an answer was cut at 4,096 characters before secrets were searched for: one that lay across the cut showed its beginning.

And the names of an answer's headers are told in lower case, in which a secret was not searched for.

Found in a review of redaction.
"""

from __future__ import annotations

import json

import pytest

from executions.models import Run
from tests.bellboy import Bellboy
from tests.integration.test_secrets_in_runs import BEARER, bind, calling, output_of, run_of
from tests.integration.test_secrets_in_runs import no_own_servers as no_own_servers  # for every test here
from tests.servers import Visit, a_server, http

VALUE = "Sk-Live-Canary-0123456789"

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]


def output_of_echo(bellboy: Bellboy, settings: object, **headers: str) -> str:
    def echo(visit: Visit) -> None:
        while visit.receive() is not None:
            visit.send(http("200 OK", b"{}", content_type="application/json", **headers))

    with a_server(echo) as server:
        bind(settings, server, value=VALUE)
        run: Run = run_of(bellboy, calling(server.url, auth=BEARER))
    return json.dumps(output_of(run))


@pytest.mark.parametrize("shown", [6, len(VALUE) - 1])
def test_a_header_that_is_cut_within_it_shows_no_beginning(bellboy, settings, shown):
    kept = output_of_echo(bellboy, settings, x_echo="." * (4096 - shown) + VALUE)

    assert VALUE[:6] not in kept


def test_a_header_that_is_named_like_it_is_cut_out(bellboy, settings):
    kept = output_of_echo(bellboy, settings, **{VALUE: "1"})

    assert VALUE.lower() not in kept.lower()
