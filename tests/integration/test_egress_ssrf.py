"""S15 to S19: nothing private is reached, whatever a URL, a name server, a redirect or the environment says."""

import contextlib
import ipaddress
import itertools
import socket

import pytest
import requests

from executions.egress import policy, wires
from executions.egress.client import Client
from executions.egress.policy import Policy, parse_allow
from lightfield.kernel.errors import PermanentStepError, StepError
from tests.servers import a_server, answering, http, once

# Names and what the name server says of them; everything else does not exist.
NAMES = {
    "localhost": ["127.0.0.1", "::1"],
    "localtest.me": ["127.0.0.1"],
    "127.0.0.1.nip.io": ["127.0.0.1"],
    "six.localtest.me": ["::1"],
    "metadata.google.internal": ["169.254.169.254"],
    "db.corp": ["10.0.0.5"],
    "router.corp": ["192.168.1.1"],
    "docker.corp": ["172.17.0.1"],
    "cgnat.corp": ["100.64.0.1"],
    "zero.corp": ["0.0.0.0"],
    "mapped.corp": ["::ffff:127.0.0.1"],
    "ula.corp": ["fd00:ec2::254"],
    "linklocal.corp": ["fe80::1%eth0"],
    "sitelocal.corp": ["fec0::1"],
    "nat64.corp": ["64:ff9b::7f00:1"],
    "localnat64.corp": ["64:ff9b:1:7f00:0:100::"],
    "6to4.corp": ["2002:7f00:1::"],
    "teredo.corp": ["2001:0:4136:e378:8000:63bf:3fff:fdd2"],
    "compatible.corp": ["::7f00:1"],
    "multicast.corp": ["224.0.0.1"],
    "broadcast.corp": ["255.255.255.255"],
    "azure.corp": ["168.63.129.16"],
    "mixed.corp": ["93.184.216.34", "127.0.0.1"],
    "mixed6.corp": ["2606:2800:220:1::1", "::1"],
    "xn--bcher-kva.corp": ["127.0.0.1"],
}
REFUSED = [
    # addresses, in the forms that resolvers and other parsers take
    "http://127.0.0.1:{port}/",
    "http://127.0.0.1.:{port}/",
    "http://127.1:{port}/",
    "http://127.0.1:{port}/",
    "http://127.255.255.254:{port}/",
    "http://2130706433:{port}/",
    "http://0x7f000001:{port}/",
    "http://0x7f.0.0.1:{port}/",
    "http://0X7F.1:{port}/",
    "http://017700000001:{port}/",
    "http://0177.0.0.1:{port}/",
    "http://0177.0.0x1:{port}/",
    "http://00000127.0.0.1:{port}/",
    "http://127.0.0.1%00.example.com:{port}/",
    "http://%31%32%37.0.0.1:{port}/",
    "http://127%2e0%2e0%2e1:{port}/",
    "http://0:{port}/",
    "http://0.0.0.0:{port}/",
    "http://１２７.０.０.１:{port}/",
    "http://①②⑦.⓪.⓪.①:{port}/",
    "http://127。0。0。1:{port}/",
    "http://[::1]:{port}/",
    "http://[::]:{port}/",
    "http://[0:0:0:0:0:0:0:1]:{port}/",
    "http://[0000::0001]:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://[::ffff:7f00:1]:{port}/",
    "http://[0:0:0:0:0:ffff:127.0.0.1]:{port}/",
    "http://[::127.0.0.1]:{port}/",
    "http://[::ffff:0:7f00:1]:{port}/",
    "http://[64:ff9b::127.0.0.1]:{port}/",
    "http://[64:ff9b:1:7f00:0:100::]:{port}/",
    "http://[2002:7f00:1::]:{port}/",
    "http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]:{port}/",
    "http://[::1%25lo]:{port}/",
    "http://[::1%lo]:{port}/",
    "http://[fe80::1]:{port}/",
    "http://[fe80::1%25eth0]:{port}/",
    "http://[fec0::1]:{port}/",
    "http://[fd00:ec2::254]:{port}/",
    "http://[ff02::1]:{port}/",
    "http://[3fff::1]:{port}/",
    "http://[2001:db8::1]:{port}/",
    "http://10.0.0.1:{port}/",
    "http://172.16.0.1:{port}/",
    "http://192.168.0.1:{port}/",
    "http://100.64.0.1:{port}/",
    "http://169.254.169.254:{port}/latest/meta-data/",
    "http://169.254.170.2:{port}/v2/credentials",
    "http://2852039166:{port}/latest/meta-data/",
    "http://0xa9fea9fe:{port}/",
    "http://[::ffff:a9fe:a9fe]:{port}/",
    "http://100.100.100.200:{port}/",
    "http://192.0.0.192:{port}/",
    "http://168.63.129.16:{port}/",
    "http://192.88.99.1:{port}/",
    "http://198.18.0.1:{port}/",
    "http://224.0.0.1:{port}/",
    "http://240.0.0.1:{port}/",
    "http://255.255.255.255:{port}/",
    # what one parser takes for the host and another does not
    "http://example.com@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}@example.com/",
    "http://user:pass@127.0.0.1:{port}/",
    "http://example.com:80@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}\\@example.com/",
    "http://example.com\\@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}#@example.com/",
    "http://127.0.0.1:{port}?@example.com/",
    "http:\\\\127.0.0.1:{port}\\",
    "http:127.0.0.1:{port}/",
    "http:/127.0.0.1:{port}/",
    "http:///127.0.0.1:{port}/",
    "//127.0.0.1:{port}/",
    "http://127.0.0.1\t:{port}/",
    "http://127.0.0.1\n:{port}/",
    "http://[::1]127.0.0.1:{port}/",
    "http://[127.0.0.1]:{port}/",
    "ftp://127.0.0.1:{port}/",
    "gopher://127.0.0.1:{port}/_GET%20/",
    "file:///etc/passwd",
    "unix:///var/run/docker.sock",
    # names
    *(f"http://{name}:{{port}}/" for name in NAMES),
    "http://LOCALHOST:{port}/",
    "http://localhost.:{port}/",
    "http://ⓛocalhost:{port}/",
    "http://bücher.corp:{port}/",
    "http://nowhere.example:{port}/",
]


@pytest.fixture
def name_server(monkeypatch):
    """Answers from `NAMES`, at the edge: `socket.getaddrinfo`."""
    asked = []

    def answer(name, port, *args, **kwargs):
        asked.append(name)
        found = NAMES.get(name.removesuffix(".").lower(), [])
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            (socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port))
            for ip in found
        ]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return asked


@pytest.fixture
def attempts(monkeypatch):
    """Every address that a connection was tried to."""
    tried = []
    connected = wires._connected

    def record(ip, port, seconds):
        tried.append((str(ip), port))
        if not ip.is_loopback:
            raise ConnectionRefusedError("no network in tests")
        return connected(ip, port, seconds)

    monkeypatch.setattr(wires, "_connected", record)
    return tried


@pytest.fixture
def listeners(monkeypatch):
    """One port, listened on at every loopback address there is, and held for a web port."""
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(a_server(answering(http(body=b"secret"))))
        opened = [first]
        with contextlib.suppress(OSError):
            opened.append(
                stack.enter_context(a_server(answering(http(body=b"secret")), host="::1", port=first.port))
            )
        monkeypatch.setattr(policy, "WEB_PORTS", frozenset({first.port}))
        yield opened


@pytest.fixture
def client():
    made = Client(Policy())
    yield made
    made.close()


def get(client, url, **more):
    return client.request(method="GET", url=url, timeout_seconds=2, **more)


def test_there_are_enough_payloads():
    assert len(set(REFUSED)) >= 100


@pytest.mark.parametrize("payload", REFUSED)
def test_private_targets_are_never_connected_to(payload, client, listeners, name_server, attempts):
    with pytest.raises(StepError) as caught:
        get(client, payload.format(port=listeners[0].port))
    assert caught.value.code.startswith("egress.") or caught.value.code == "http.dns_failed"
    assert caught.value.sent is False
    assert attempts == []
    assert [listener.connections for listener in listeners] == [0] * len(listeners)


def test_given_an_allowed_network_then_the_same_listeners_answer(listeners, name_server):
    # The payloads above fail because of the rules, not because nothing could be reached
    client = Client(Policy(parse_allow("127.0.0.0/8 ::1/128")))
    for listener in listeners:
        assert get(client, listener.url).body == b"secret"
    assert get(client, f"http://localtest.me:{listeners[0].port}/").body == b"secret"
    assert get(client, f"http://[::ffff:127.0.0.1]:{listeners[0].port}/").body == b"secret"
    client.close()


def test_given_an_allowed_network_then_our_own_servers_stay_out_of_reach(listeners, name_server, attempts):
    port = listeners[0].port
    client = Client(Policy(parse_allow("0.0.0.0/0 ::/0"), own=(("127.0.0.1", port),)))
    for host in (
        "127.0.0.1",
        "127.9.9.9",
        "0.0.0.0",
        "localhost",
        "[::1]",
        "[::]",
        "[::ffff:7f00:1]",
        "mixed.corp",
    ):
        with pytest.raises(PermanentStepError) as caught:
            get(client, f"http://{host}:{port}/")
        assert caught.value.code == "egress.denied_address"
    assert attempts == []
    client.close()


def test_ports_of_other_services_are_refused_before_the_name_is_looked_up(client, name_server):
    for port in (21, 22, 25, 53, 110, 143, 3306, 5432, 6379, 9200, 11211, 27017):
        with pytest.raises(PermanentStepError) as caught:
            get(client, f"http://mixed.corp:{port}/")
        assert caught.value.code == "egress.denied_port"
    assert name_server == []


def test_given_a_name_that_changes_with_every_lookup_then_only_what_was_judged_is_connected_to(
    client, listeners, attempts, monkeypatch, settings
):
    settings.LIGHTFIELD_CIRCUIT_CALLS = 0  # it would be left alone after twenty
    # Given a name server that says public, private, public, …
    port = listeners[0].port
    answers = itertools.cycle(["93.184.216.34", "127.0.0.1"])
    lookups = []

    def rebinding(name, port, *args, **kwargs):
        lookups.append(next(answers))
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (lookups[-1], port))]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    # When a thousand requests are made
    codes = set()
    for _ in range(1_000):
        with pytest.raises(StepError) as caught:
            get(client, f"http://rebind.example:{port}/")
        codes.add(caught.value.code)
    # Then each was looked up once, and connected to that answer or not at all
    assert len(lookups) == 1_000
    assert codes == {"egress.denied_address", "http.connect_failed"}
    assert set(attempts) == {("93.184.216.34", port)}
    assert listeners[0].connections == 0


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://127.0.0.1:{private}/",
        "http://localhost:{private}/",
        "http://[::1]:{private}/",
        "//127.0.0.1:{private}/",
        "http://2130706433:{private}/",
        "http://u:p@127.0.0.1:{private}/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:{private}/",
    ],
)
@pytest.mark.parametrize(
    "status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"]
)
def test_given_a_redirect_to_a_private_place_then_it_is_not_followed(location, status, attempts):
    with a_server(answering(http(body=b"secret"))) as private:
        answer = http(status, location=location.format(private=private.port))
        with a_server(answering(answer)) as public:
            client = Client(Policy(parse_allow(public.endpoint)))
            # Redirects off: the status comes back as it is
            assert get(client, public.url).status_code == int(status[:3])
            # Redirects on: each hop passes every check
            with pytest.raises(PermanentStepError) as caught:
                get(client, public.url, allow_redirects=True)
            client.close()
        assert caught.value.code.startswith("egress.")
        assert caught.value.sent is True  # the first hop was
        assert private.connections == 0
    assert {port for _, port in attempts} == {public.port}


def test_given_proxies_and_credentials_in_the_environment_then_they_are_not_used(monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login robot password s3cret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with (
        a_server(answering(http(body=b"proxied"))) as proxy,
        a_server(answering(http(body=b"direct"))) as target,
    ):
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        assert requests.get(target.url, timeout=2).text == "proxied"  # such a proxy would be used by others
        client = Client(Policy(parse_allow(target.endpoint)))
        assert get(client, target.url).body == b"direct"
        assert client._session.trust_env is False
        client.close()
        assert proxy.connections == 1
        assert "authorization" not in target.requests[-1].headers


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "get", "GET\r\nX: y", "", "PROPFIND"])
def test_methods_outside_the_list_are_refused(method, client):
    with pytest.raises(PermanentStepError) as caught:
        client.request(method=method, url="http://example.com/", timeout_seconds=1)
    assert (caught.value.code, caught.value.sent) == ("egress.denied_method", False)


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("{url}/%0d%0aHost:%20evil%0d%0a%0d%0aGET%20/second", {}),
        ("{url}/x HTTP/1.1/second", {}),
        ("{url}/?q=a b\u0130%0aX-Injected: 1", {}),
        ("{url}/", {"X-Utf8": "č\u010a\u560d\u560a"}),
    ],
)
def test_nothing_splits_a_request_in_two(url, headers):
    with a_server(answering(http())) as server:
        client = Client(Policy(parse_allow(server.endpoint)))
        get(client, url.format(url=server.url), headers=headers)
        client.close()
        (request,) = server.requests
    assert request.headers["host"] == server.endpoint
    assert "x-injected" not in request.headers


def test_the_session_sends_nothing_that_was_not_checked(client):
    with a_server(once(http())) as server:
        prepared = requests.Request("GET", server.url).prepare()
        with pytest.raises(TypeError, match="checked"):
            client._session.send(prepared)
        with pytest.raises(TypeError, match="checked"):
            client._session.get(server.url)
        assert server.connections == 0


def test_addresses_are_not_shown_to_authors(client, name_server):
    with pytest.raises(PermanentStepError) as caught:
        get(client, "http://db.corp/")
    shown = str(caught.value) + str(caught.value.metadata)
    assert "10.0.0.5" not in shown
    assert caught.value.metadata["url_host"] == "db.corp"
    assert ipaddress.ip_address("10.0.0.5").is_private
