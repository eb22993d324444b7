"""benchmarks/: its command line, the sink's books, the load."""

import asyncio
import os
import re
from itertools import islice

import pytest

from benchmarks import capture, cpu, load, options, saves, sink, systems
from benchmarks.__main__ import BENCHES, USUAL
from benchmarks.far_end import account_of
from benchmarks.load import Sender
from lightfield.local import ports


def read(*arguments: str):
    return options.read(arguments, known=tuple(BENCHES), usual=USUAL, listing="the list")


def test_given_no_names_then_the_usual_benches_are_played():
    wanted = read()
    assert wanted.names == USUAL
    assert set(USUAL) < set(BENCHES)
    assert (wanted.events, wanted.rounds, wanted.is_quick) == (2000, None, False)


def test_names_and_sizes_are_taken():
    wanted = read("latency", "idle", "latency", "--rounds", "5", "--set", "LIGHTFIELD_HTTP_WORKERS=2")
    assert wanted.names == ("latency", "idle")
    assert wanted.rounds == 5
    assert wanted.settings == {"LIGHTFIELD_HTTP_WORKERS": "2"}


def test_quick_is_tiny_but_what_was_asked_for_stays():
    wanted = read("--quick", "--events", "7")
    assert (wanted.events, wanted.rounds, wanted.is_quick) == (7, 1, True)
    assert wanted.flood < 1000


def test_the_list_ends_it(capsys):
    assert read("--list") is None
    assert capsys.readouterr().out == "the list\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["speed"], "unknown: speed; there are throughput"),
        (["--rounds", "0"], "--rounds must be more than 0"),
        (["--events", "-1"], "--events must be more than 0"),
        (["--events", "many"], "invalid int value"),
        (["--set", "DATABASE_URL=x"], "is not LIGHTFIELD_"),
        (["--set", "LIGHTFIELD_SHARDS"], "is not LIGHTFIELD_"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(arguments, said, capsys):
    with pytest.raises(SystemExit) as ended:
        read(*arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err.splitlines()[-1]


def test_the_account_names_what_is_lost_doubled_and_strange():
    books = {
        "effects": {"a/0": [1, 10.0], "a/1": [1, 12.0], "b/0": [2, 11.0], "c/0": [1, 9.0]},
        "keys": {"k1": 1, "k2": 1, "k3": 2, "": 1},
    }
    account = account_of(books, {"a": 2, "b": 2})
    assert account.expected == 4
    assert account.lost == ["b/1"]
    assert account.doubled == ["b/0", "key k3"]
    assert account.strange == ["c/0"]
    assert account.answered_at["a"] == 12.0
    assert len(account.problems) == 3
    assert account_of({"effects": {"a/0": [1, 1.0]}, "keys": {"k": 1}}, {"a": 1}).problems == []


def test_what_a_process_tree_is():
    parents = {2: 1, 3: 2, 4: 2, 5: 4, 6: 1}
    assert sorted(cpu.descendants([2], parents)) == [2, 3, 4, 5]
    assert cpu.descendants([9], parents) == []


async def _through(sending):
    """Run it against a sink in the same loop."""
    port = ports.any_free("127.0.0.1")
    server = await asyncio.get_running_loop().create_server(sink.Conversation, "127.0.0.1", port)
    sender = Sender(f"http://127.0.0.1:{port}/delay/0")
    try:
        return await sending(sender)
    finally:
        for connection in sender.idle:
            connection.transport.close()
        server.close()


@pytest.fixture(autouse=True)
def _forget():
    sink.seen.clear()
    yield
    sink.seen.clear()


def bodies(number: int):
    return [{**body, "run": body["id"], "step": 0} for body in islice(systems.bodies(1), number)]


def test_a_closed_loop_sends_everything_once():
    wanted = bodies(20)
    replies = asyncio.run(_through(lambda sender: sender.closed_loop(wanted, connections=3)))
    assert sorted(reply.run for reply in replies) == sorted(body["id"] for body in wanted)
    assert {(reply.status, reply.steps) for reply in replies} == {(200, 1)}
    assert sink.books()["effects"].keys() == {f"{body['id']}/0" for body in wanted}


def test_an_open_loop_sends_by_the_clock_until_it_is_told():
    async def until_told(sender):
        told = asyncio.Event()
        sending = asyncio.create_task(sender.open_loop(bodies(1000), rate=1000, until=told))
        while len(sink.seen) < 5:
            await asyncio.sleep(0)
        told.set()
        return await sending

    replies = asyncio.run(_through(until_told))
    assert 5 <= len(replies) < 1000
    assert all(reply.late >= 0 for reply in replies)

    # And for so long when it is given a time: 0.1 s of 100 a second are 10
    replies = asyncio.run(_through(lambda sender: sender.open_loop(bodies(1000), rate=100, seconds=0.1)))
    assert len(replies) == 10


def test_a_webhook_that_nobody_answers_is_counted_as_refused():
    port = ports.any_free("127.0.0.1")
    reply = load.run(Sender(f"http://127.0.0.1:{port}/hook").send(next(systems.bodies(1))))
    assert reply.status == 0
    assert systems.refused([reply])[0].startswith("1 webhooks not accepted: 0 ")


def test_pairs_are_measured_in_turns_and_their_ratio_is_kept():
    done = []
    measured = saves.Saves(pairs=2, saves=3, backend=os.getpid())
    pair = saves.Pair(lambda: done.append("ours"), lambda: done.append("twin"))
    measured.measure("matched", pair)
    assert set(measured.figures) == {
        f"matched_{what}" for what in ("ratio", "cpu_ratio", "statements", "ms", "twin_ms")
    }
    assert done[-12:] == ["twin"] * 3 + ["ours"] * 6 + ["twin"] * 3
    assert measured.figures["matched_statements"] == 0
    assert measured.figures["matched_ratio"] > 0


def test_every_line_of_capture_is_about_something_that_is_measured():
    known = {f"{kind}_{name}" for kind in capture.KINDS for name in capture.SAVES}
    for line in capture.LINES:
        what = re.sub("(_cpu)?_ratio$|_statements$|_twin_ms$", "", line.figure)
        assert what in known or line.figure == "cores_of_others"
