"""S20, E9, E10, F24: whatever a server answers, the attempt ends in time, in bounds, and says what is known."""

import resource
import socket
import struct
import threading
import time
import zlib

import pytest

from executions.egress.client import Client
from executions.egress.conversation import Conversation, Request
from executions.egress.exchange import Exchange
from executions.egress.policy import Policy, parse_allow
from executions.egress.urls import parse_target
from executions.egress.wires import Wire
from lightfield.kernel.errors import PermanentStepError, StepError, TransientStepError
from tests.servers import a_server, answering, gzipped, http, once

KIB, MIB = 1 << 10, 1 << 20


@pytest.fixture
def client():
    made = Client(Policy(parse_allow("127.0.0.0/8")))
    yield made
    made.close()


def ask(client, script, *, method="GET", timeout_seconds=2.0, **more):
    """Send one request to a server that plays `script`; the answer, and the requests it saw."""
    with a_server(script) as server:
        url = server.url + "/path"
        try:
            return client.request(method=method, url=url, timeout_seconds=timeout_seconds, **more)
        except StepError as error:
            error.metadata["arrived"] = len(server.requests)
            raise


def raw(answer):
    return once(answer)


def head(*lines, status="200 OK"):
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()


# --- what a good answer looks like ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "status_code", "body"),
    [
        (http(body=b"hello"), 200, b"hello"),
        (
            head("Transfer-Encoding: chunked") + b"3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nTrailer: x\r\n\r\n",
            200,
            b"hello",
        ),
        (head("Connection: close") + b"until the end", 200, b"until the end"),
        (b"HTTP/1.0 200 OK\r\n\r\nold", 200, b"old"),
        (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", 200, b"ok"),
        (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", 200, b"ok"),
        (head(status="204 No Content"), 204, b""),
        (head("Content-Length: 0", status="201 Created"), 201, b""),
        (http(body=gzipped(b"packed"), content_encoding="gzip"), 200, b"packed"),
        (http(body=zlib.compress(b"packed"), content_encoding="deflate"), 200, b"packed"),
        (http(body=gzipped(gzipped(b"twice")), content_encoding="gzip, gzip"), 200, b"twice"),
        (http("404 Not Found", b"nothing"), 404, b"nothing"),
        (http("599 Odd", b"x"), 599, b"x"),
        (http("999 Denied", b"x"), 999, b"x"),
        (http("304 Not Modified"), 304, b""),
        # what comes before the real answer is passed over
        (head(status="100 Continue") + http(body=b"hello"), 200, b"hello"),
        (head(status="102 Processing") * 3 + http(body=b"hello"), 200, b"hello"),
        (head("Link: </a>", status="103 Early Hints") + http("500 Oops", b"x"), 500, b"x"),
    ],
)
def test_answers_as_they_come(client, answer, status_code, body):
    found = ask(client, raw(answer))
    assert (found.status_code, found.body, found.url_host) == (status_code, body, "127.0.0.1")


def test_a_redirect_of_a_post_is_an_answer_and_nothing_follows(client):
    with a_server(answering(http("301 Moved Permanently", location="/elsewhere"))) as server:
        answer = client.request(method="POST", url=server.url, body=b"{}", timeout_seconds=2)
        assert (answer.status_code, len(server.requests)) == (301, 1)


def test_head_has_no_body_whatever_its_length_says(client):
    assert ask(client, raw(head("Content-Length: 5")), method="HEAD").body == b""


# --- too much -------------------------------------------------------------------------------------


def endless(start, piece):
    """Send `piece` for ever."""

    def script(visit):
        visit.receive()
        visit.send(start)
        while not visit.stopped.is_set():
            visit.send(piece)

    return script


def bomb(megabytes, layers=1):
    stream = zlib.compressobj(9, wbits=31)
    packed = b"".join(stream.compress(bytes(MIB)) for _ in range(megabytes)) + stream.flush()
    return gzipped(packed) if layers == 2 else packed


TOO_MUCH = {
    "body_by_length": endless(head("Content-Length: 99999999999"), b"x" * 65536),
    "body_until_close": endless(head(), b"x" * 65536),
    "chunks": endless(head("Transfer-Encoding: chunked"), b"1000\r\n" + b"x" * 4096 + b"\r\n"),
    "padded_chunks": endless(head("Transfer-Encoding: chunked"), b"1;pad=" + b"x" * 60_000 + b"\r\nx\r\n"),
    "chunks_of_one_byte": endless(head("Transfer-Encoding: chunked"), b"1\r\nx\r\n" * 4096),
    "one_byte_over": raw(http(body=b"x" * (MIB + 1))),
    "gzip_bomb": raw(http(body=bomb(100), content_encoding="gzip")),
    "gzip_bomb_in_gzip": raw(http(body=bomb(100, layers=2), content_encoding="gzip, gzip")),
    "endless_gzip": endless(head("Content-Encoding: gzip"), bomb(20)),
    "endless_trailers": endless(
        head("Transfer-Encoding: chunked") + b"0\r\n", b"X-Trailer: " + b"x" * 1000 + b"\r\n"
    ),
}


@pytest.mark.parametrize("script", TOO_MUCH.values(), ids=TOO_MUCH.keys())
def test_a_success_with_too_much_of_anything_is_cut_off(client, script):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    with pytest.raises(PermanentStepError) as caught:
        ask(client, script, timeout_seconds=10)
    assert caught.value.code in ("http.too_large", "http.invalid_answer")
    assert (caught.value.sent, caught.value.answered) == (True, True)
    assert caught.value.metadata["status_code"] == 200
    assert time.process_time() - started < 3  # the server's share included
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < 20 * KIB


def test_the_limit_is_exact_and_can_be_lowered(client):
    assert len(ask(client, raw(http(body=b"x" * MIB))).body) == MIB
    assert len(ask(client, raw(http(body=b"x" * 10)), max_bytes=10).body) == 10
    with pytest.raises(PermanentStepError, match="too_large"):
        ask(client, raw(http(body=b"x" * 11)), max_bytes=10)
    with pytest.raises(PermanentStepError, match="too_large"):
        ask(client, raw(http(body=gzipped(b"x" * 11), content_encoding="gzip")), max_bytes=10)


def test_a_body_in_too_many_pieces_is_cut_off(client, monkeypatch):
    answer = head("Transfer-Encoding: chunked") + b"1\r\nx\r\n" * 10 + b"0\r\n\r\n"
    assert ask(client, raw(answer)).body == b"x" * 10
    monkeypatch.setattr("executions.egress.conversation.MAX_PIECES", 10)
    with pytest.raises(PermanentStepError, match="too_large"):
        ask(client, raw(answer))


HEADER_BOMBS = {
    "one_long_line": endless(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 65536),
    "many_lines": endless(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 1000),
    "long_status_line": endless(b"HTTP/1.1 200 ", b"O" * 65536),
    "many_short_headers": raw(b"HTTP/1.1 200 OK\r\n" + b"a:\r\n" * 5000 + b"\r\n"),
    "interim_answers": endless(b"", head(status="103 Early Hints")),
    "large_interim_answers": endless(b"", head("X: " + "x" * 60_000, status="103 Early Hints")),
}


@pytest.mark.parametrize("script", HEADER_BOMBS.values(), ids=HEADER_BOMBS.keys())
def test_header_bombs_are_cut_off(client, script):
    started = time.monotonic()
    with pytest.raises(PermanentStepError) as caught:
        ask(client, script, timeout_seconds=5)
    assert (caught.value.code, caught.value.sent) == ("http.invalid_answer", True)
    assert time.monotonic() - started < 3


# --- not HTTP, or not quite -----------------------------------------------------------------------

MALFORMED = {
    "http_0_9": b"<html>hello</html>",
    "ssh": b"SSH-2.0-OpenSSH_9.2\r\n",
    "smtp": b"220 mail.example ESMTP\r\n",
    "tls_alert": b"\x15\x03\x01\x00\x02\x02\x46",
    "http_2": b"HTTP/2 200 OK\r\n\r\n",
    "no_status": b"HTTP/1.1\r\n\r\n",
    "short_status": b"HTTP/1.1 20 OK\r\n\r\n",
    "long_status": b"HTTP/1.1 2000 OK\r\n\r\n",
    "negative_status": b"HTTP/1.1 -20 OK\r\n\r\n",
    "status_000": b"HTTP/1.1 000 OK\r\n\r\n",
    "unasked_101": head("Upgrade: websocket", "Connection: upgrade", status="101 Switching Protocols"),
    "header_without_colon": head("no colon here"),
    "header_name_with_space": head("Content-Length : 5") + b"hello",
    "control_character_in_name": head("X\x01: y"),
    "nul_in_value": head("X: a\x00b"),
    "two_lengths": head("Content-Length: 5", "Content-Length: 6") + b"hello!",
    "negative_length": head("Content-Length: -5") + b"hello",
    "signed_length": head("Content-Length: +5") + b"hello",
    "length_in_words": head("Content-Length: five") + b"hello",
    "huge_length": head("Content-Length: " + "9" * 5000) + b"hello",
    "unknown_transfer_encoding": head("Transfer-Encoding: gzip") + b"hello",
    "transfer_encodings_in_a_row": head("Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n",
    "two_transfer_encodings": head("Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
    "bad_chunk_size": head("Transfer-Encoding: chunked") + b"xyz\r\nhello\r\n0\r\n\r\n",
    "negative_chunk_size": head("Transfer-Encoding: chunked") + b"-1\r\nhello\r\n0\r\n\r\n",
    "chunk_without_end": head("Transfer-Encoding: chunked") + b"3\r\nhelXX0\r\n\r\n",
    "oversized_chunk_size": head("Transfer-Encoding: chunked") + b"f" * 40 + b"\r\n",
}


@pytest.mark.parametrize("answer", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_answers_are_refused_at_once(client, answer):
    def script(visit):  # the connection stays open: nobody must wait for more
        visit.receive()
        visit.send(answer)
        visit.stopped.wait(5)

    started = time.monotonic()
    with pytest.raises(PermanentStepError) as caught:
        ask(client, script)
    assert caught.value.code == "http.invalid_answer"
    assert caught.value.sent is True
    assert caught.value.metadata["arrived"] == 1
    assert time.monotonic() - started < 1


@pytest.mark.parametrize(
    "answer",
    [
        http(body=b"hello", content_encoding="br"),
        http(body=b"hello", content_encoding="gzip"),
        http(body=gzipped(b"hello")[:-4], content_encoding="gzip"),
        http(body=b"hello", content_encoding="gzip, deflate, gzip"),
    ],
)
def test_a_success_in_an_unknown_encoding_is_a_permanent_error(client, answer):
    with pytest.raises(PermanentStepError) as caught:
        ask(client, raw(answer))
    assert (caught.value.code, caught.value.answered) == ("http.bad_encoding", True)


# --- broken off -----------------------------------------------------------------------------------


def reset(visit):
    """Close so that the client gets a reset instead of an orderly end."""
    visit.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    visit.sock.close()


def reset_after_request(visit):
    visit.receive()
    reset(visit)


BROKEN_OFF = {
    "nothing": lambda visit: visit.receive(),
    "reset": reset_after_request,
    "in_the_status_line": raw(b"HTTP/1.1 2"),
    "in_the_head": raw(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "after_the_head": raw(head("Content-Length: 5")),
    "in_the_body": raw(head("Content-Length: 5") + b"hel"),
    "in_a_chunk": raw(head("Transfer-Encoding: chunked") + b"5\r\nhel"),
    "between_chunks": raw(head("Transfer-Encoding: chunked") + b"3\r\nhel\r\n"),
    "before_the_last_line": raw(head("Transfer-Encoding: chunked") + b"3\r\nhel\r\n0\r\n"),
    "after_an_interim_answer": raw(head(status="100 Continue")),
}


@pytest.mark.parametrize("script", BROKEN_OFF.values(), ids=BROKEN_OFF.keys())
def test_given_an_answer_that_breaks_off_then_the_outcome_is_unknown(client, script):
    with pytest.raises(TransientStepError) as caught:
        ask(client, script, method="POST", body=b"{}")
    assert caught.value.code == "http.connection_lost"
    # A success that cannot be read to its end is worth another attempt, so it does not count as answered
    assert (caught.value.sent, caught.value.answered, caught.value.metadata["arrived"]) == (True, False, 1)


def test_given_a_large_body_that_is_refused_half_way_then_the_answer_is_still_read(client):
    def script(visit):
        visit.sock.recv(1000)
        visit.send(http("413 Content Too Large", b"too much", connection="close"))
        visit.sock.shutdown(socket.SHUT_WR)
        while visit.sock.recv(65536):  # an orderly server drains before it closes
            pass

    answer = ask(client, script, method="POST", body=b"x" * (8 * MIB))
    assert (answer.status_code, answer.body) == (413, b"too much")


def converse(ours, body):
    """One request over a connected socket, without a network in between."""
    target = parse_target("http://example.com/")
    exchange = Exchange(host=target.host, seconds=2)
    fields = [(b"Host", b"example.com"), (b"Content-Length", b"%d" % len(body))]
    request = Request("POST", "/", fields, body, MIB, exchange)
    with ours:
        return Conversation(Wire(ours, target), request).hold()


def test_given_a_connection_that_breaks_while_sending_then_a_waiting_answer_is_read():
    ours, theirs = socket.socketpair()

    def refuse():
        theirs.recv(10)
        theirs.sendall(http("413 Content Too Large", b"too much"))
        theirs.close()

    far_side = threading.Thread(target=refuse)
    far_side.start()
    answer = converse(ours, b"x" * (8 * MIB))
    far_side.join()
    assert (answer.status_code, answer.body, answer.keep_seconds) == (413, b"too much", 0)


def test_given_a_connection_that_is_dead_before_the_first_byte_then_nothing_was_sent():
    ours, theirs = socket.socketpair()
    theirs.close()
    with pytest.raises(TransientStepError) as caught:
        converse(ours, b"{}")
    assert (caught.value.code, caught.value.sent) == ("http.connection_lost", False)


REFUSALS_WITH_A_BAD_BODY = {
    "breaks_off": raw(head("Content-Length: 50", status="503 Busy") + b"try later"),
    "never_ends": endless(head(status="503 Busy"), b"try later" * 1000),
    "bad_chunk": raw(head("Transfer-Encoding: chunked", status="503 Busy") + b"9\r\ntry later\r\nzz\r\n"),
    "bad_encoding": raw(http("503 Busy", b"try later", content_encoding="gzip")),
    "gzip_bomb": raw(http("503 Busy", bomb(50), content_encoding="gzip")),
}


@pytest.mark.parametrize("script", REFUSALS_WITH_A_BAD_BODY.values(), ids=REFUSALS_WITH_A_BAD_BODY.keys())
def test_a_refusal_stands_however_its_body_ends(client, script):
    answer = ask(client, script)
    assert answer.status_code == 503
    assert len(answer.body) <= 64 * KIB


def test_a_refusal_whose_body_drips_is_returned_at_the_deadline(client):
    def script(visit):
        visit.receive()
        visit.send(
            head(
                "Content-Length: 500",
                status="429 Slow down",
            )
        )
        visit.drip(b"x" * 500)

    started = time.monotonic()
    assert ask(client, script, timeout_seconds=0.3).status_code == 429
    assert 0.3 <= time.monotonic() - started < 1.3


# --- time -----------------------------------------------------------------------------------------


def silent(visit):
    visit.receive()
    visit.stopped.wait(10)


def dripping(start, rest):
    def script(visit):
        visit.receive()
        visit.send(start)
        visit.drip(rest)

    return script


SLOW = {
    "no_answer": (silent, "wait"),
    "status_line": (dripping(b"", head()), "wait"),
    "headers": (dripping(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 500), "wait"),
    "interim": (dripping(head(status="100 Continue"), head()), "wait"),
    "body": (dripping(head("Content-Length: 500"), b"x" * 500), "read"),
    "chunks": (dripping(head("Transfer-Encoding: chunked"), b"1\r\nx\r\n" * 500), "read"),
    "body_until_close": (dripping(head(), b"x" * 500), "read"),
    "gzip": (dripping(head("Content-Encoding: gzip"), gzipped(b"x" * 500)), "read"),
}


@pytest.mark.parametrize(("script", "phase"), SLOW.values(), ids=SLOW.keys())
@pytest.mark.parametrize("timeout_seconds", [0.3, 0.5])
def test_the_deadline_holds_for_everything_together(client, script, phase, timeout_seconds):
    # Each byte comes well within any timeout per read
    started = time.monotonic()
    with pytest.raises(TransientStepError) as caught:
        ask(client, script, method="POST", body=b"{}", timeout_seconds=timeout_seconds)
    seconds = time.monotonic() - started
    assert caught.value.code == "http.timeout"
    assert (caught.value.sent, caught.value.answered) == (True, False)
    assert caught.value.metadata["phase"] == phase
    assert caught.value.metadata["url_host"] == "127.0.0.1"
    assert timeout_seconds <= seconds < timeout_seconds + 1


def test_given_a_server_that_does_not_read_then_sending_ends_at_the_deadline(client):
    started = time.monotonic()
    with pytest.raises(TransientStepError) as caught:
        ask(
            client,
            lambda visit: visit.stopped.wait(10),
            method="POST",
            body=b"x" * (32 * MIB),
            timeout_seconds=0.4,
        )
    assert (caught.value.code, caught.value.sent) == ("http.timeout", True)
    assert caught.value.metadata["phase"] == "send"
    assert 0.4 <= time.monotonic() - started < 1.4


def test_given_a_server_that_reads_a_little_at_a_time_then_sending_ends_at_the_deadline(client):
    def sipping(visit):
        while not visit.stopped.wait(0.02):
            visit.sock.recv(200_000)

    started = time.monotonic()
    with pytest.raises(TransientStepError) as caught:
        ask(client, sipping, method="POST", body=b"x" * (64 * MIB), timeout_seconds=0.5)
    assert (caught.value.code, caught.value.metadata["phase"]) == ("http.timeout", "send")
    assert 0.5 <= time.monotonic() - started < 1.5


def test_given_a_name_server_that_hangs_then_the_attempt_ends_at_the_deadline(monkeypatch):
    never = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: never.wait(5) and [])
    client = Client(Policy())
    started = time.monotonic()
    with pytest.raises(TransientStepError) as caught:
        client.request(method="GET", url="http://slow.example/", timeout_seconds=0.3)
    never.set()
    assert (caught.value.code, caught.value.sent, caught.value.metadata["phase"]) == (
        "http.timeout",
        False,
        "lookup",
    )
    assert 0.3 <= time.monotonic() - started < 1.3


def test_given_a_port_that_drops_connections_then_the_attempt_ends_at_the_deadline(client):
    # Given a listener whose queue is full: further connections are neither taken nor refused
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        waiting = [socket.socket() for _ in range(3)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(address)
        started = time.monotonic()
        with pytest.raises(TransientStepError) as caught:
            client.request(method="GET", url=f"http://127.0.0.1:{address[1]}/", timeout_seconds=0.4)
        for sock in waiting:
            sock.close()
    assert (caught.value.code, caught.value.sent, caught.value.metadata["phase"]) == (
        "http.timeout",
        False,
        "connect",
    )
    assert 0.4 <= time.monotonic() - started < 1.4


def test_given_a_closed_port_then_nothing_was_sent(client):
    with a_server(silent) as server:
        port = server.port
    with pytest.raises(TransientStepError) as caught:
        client.request(method="POST", url=f"http://127.0.0.1:{port}/", body=b"{}", timeout_seconds=2)
    assert (caught.value.code, caught.value.sent) == ("http.connect_failed", False)


def test_the_deadline_includes_redirects(client):
    def slow_redirect(visit):
        while visit.receive() is not None:
            visit.stopped.wait(0.15)
            visit.send(http("302 Found", location="/again"))

    started = time.monotonic()
    with pytest.raises(TransientStepError) as caught:
        ask(client, slow_redirect, timeout_seconds=0.4, allow_redirects=True)
    assert caught.value.code == "http.timeout"
    assert 0.4 <= time.monotonic() - started < 1.4
