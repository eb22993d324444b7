import errno
import ipaddress

import pytest

from executions.egress import policy
from executions.egress.policy import Policy, parse_allow
from executions.egress.urls import parse_target
from lightfield.kernel.env import InvalidSetting
from lightfield.kernel.errors import PermanentStepError


def ips(*texts):
    return tuple(ipaddress.ip_address(text) for text in texts)


def nobody(name, port):
    raise AssertionError(f"{name}:{port} need not be looked up")


def judge(rules, url, *found, look_up=nobody):
    """ "allowed", or the code."""
    target = parse_target(url)
    try:
        rules.check_port(target)
        rules.check(target, ips(*found) if found else (target.literal,), look_up)
    except PermanentStepError as error:
        return error.code
    return "allowed"


@pytest.mark.parametrize(
    ("allow", "url", "found", "verdict"),
    [
        ("", "http://example.com/", ["93.184.216.34"], "allowed"),
        ("", "https://example.com:8443/", ["93.184.216.34"], "allowed"),
        ("", "http://example.com:8080/", ["93.184.216.34"], "allowed"),
        ("", "http://example.com:22/", ["93.184.216.34"], "egress.denied_port"),
        ("", "http://example.com:6379/", ["93.184.216.34"], "egress.denied_port"),
        ("", "http://example.com/", ["10.0.0.1"], "egress.denied_address"),
        ("", "http://example.com/", ["93.184.216.34", "10.0.0.1"], "egress.denied_address"),
        ("", "http://example.com/", ["93.184.216.34", "::1"], "egress.denied_address"),
        ("10.0.0.0/8", "http://example.com/", ["10.1.2.3"], "allowed"),
        ("10.0.0.0/8", "http://example.com:9999/", ["10.1.2.3"], "allowed"),
        ("10.0.0.0/8", "http://example.com/", ["10.1.2.3", "127.0.0.1"], "egress.denied_address"),
        ("10.0.0.0/8", "http://example.com:9999/", ["93.184.216.34"], "egress.denied_port"),
        ("10.0.0.0/8", "http://example.com:9999/", ["10.0.0.1", "93.184.216.34"], "egress.denied_port"),
        ("10.0.0.0/8", "http://[::ffff:10.1.2.3]/", [], "allowed"),
        ("10.0.0.0/8", "http://[64:ff9b::a01:203]/", [], "egress.denied_address"),
        ("::/0 0.0.0.0/0", "http://[64:ff9b::a01:203]/", [], "egress.denied_address"),
        ("::/0 0.0.0.0/0", "http://[2002:a01:203::]/", [], "egress.denied_address"),
        ("0.0.0.0/0", "http://0.0.0.0/", [], "egress.denied_address"),
        ("::/0", "http://[::]/", [], "egress.denied_address"),
        ("0.0.0.0/0", "http://224.0.0.1/", [], "egress.denied_address"),
        ("fd00::/8", "http://[fd00::1]:9000/", [], "allowed"),
        ("10.0.0.5", "http://10.0.0.5/", [], "allowed"),
        ("10.0.0.5", "http://10.0.0.6/", [], "egress.denied_address"),
        ("10.0.0.5:9000", "http://10.0.0.5:9000/", [], "allowed"),
        ("10.0.0.5:9000", "http://internal.example:9000/", ["10.0.0.5"], "allowed"),
        ("10.0.0.5:9000", "http://10.0.0.5:9001/", [], "egress.denied_port"),
        ("10.0.0.5:9000", "http://10.0.0.5/", [], "egress.denied_address"),
        ("10.0.0.5:9000", "http://10.0.0.6:9000/", [], "egress.denied_address"),
        ("10.0.0.5:9000", "http://example.com:9000/", ["93.184.216.34"], "egress.denied_port"),
        ("Hooks.Internal.:9000", "http://hooks.internal:9000/", ["10.0.0.9"], "allowed"),
        ("hooks.internal:9000", "http://other.internal:9000/", ["10.0.0.9"], "egress.denied_port"),
        ("hooks.internal:9000", "http://10.0.0.9:9000/", [], "egress.denied_port"),
        ("api.example:444", "https://api.example:444/", ["93.184.216.34"], "allowed"),
        ("localhost:9000", "http://localhost:9000/", ["::1", "127.0.0.1"], "allowed"),
        ("localhost:9000", "http://127.0.0.1:9000/", [], "allowed"),
        ("127.0.0.1:9000", "http://localhost:9000/", ["::1", "127.0.0.1"], "egress.denied_address"),
        ("[::1]:9000", "http://[::1]:9000/", [], "allowed"),
        ("[::1]:9000", "http://[0:0::1]:9000/", [], "allowed"),
    ],
)
def test_where_steps_may_go(allow, url, found, verdict):
    assert judge(Policy(parse_allow(allow)), url, *found) == verdict


@pytest.mark.parametrize("separator", [",", " ", ", ", "\n", ",,"])
def test_entries_are_separated_by_commas_or_spaces(separator):
    allow = parse_allow(separator.join(["10.0.0.0/8", "hooks.internal:9000", "[::1]:80"]))
    assert (len(allow.networks), len(allow.hosts), len(allow.endpoints)) == (1, 1, 1)
    assert parse_allow(["10.0.0.0/8", "hooks.internal:9000", "[::1]:80"]) == allow


@pytest.mark.parametrize(
    "entry",
    [
        "internal",
        "10.0.0.1/8",
        "10.0.0.0/33",
        "host:0",
        "host:65536",
        "host:",
        ":80",
        "http://x:80",
        "[::1]",
        "a:b",
    ],
)
def test_a_malformed_entry_is_named(entry):
    with pytest.raises(InvalidSetting) as caught:
        parse_allow(f"10.0.0.0/8,{entry}")
    assert caught.value.code == "engine.invalid_setting"
    assert repr(entry) in caught.value.message
    assert "LIGHTFIELD_EGRESS_ALLOW" in caught.value.message


OWN = (("127.0.0.1", 6379), ("db.internal", 5432), ("0.0.0.0", 8000), ("localhost", 5555), ("::", 8001))
EVERYTHING = Policy(parse_allow("0.0.0.0/0 ::/0 db.internal:5432 127.0.0.1:6379 localhost:8000"), own=OWN)


def own_addresses(name, port):
    assert (name, port) == ("db.internal", 5432)
    return ips("10.0.0.7", "fd00::7")


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("http://127.0.0.1:6379/", []),
        ("http://127.99.0.1:6379/", []),
        ("http://[::1]:6379/", []),
        ("http://[::ffff:127.0.0.1]:6379/", []),
        ("http://0.0.0.0:6379/", []),
        ("http://[::]:6379/", []),
        ("http://localhost:6379/", ["127.0.0.1"]),
        ("http://rebound.example:6379/", ["93.184.216.34", "127.0.0.1"]),
        ("http://[64:ff9b::7f00:1]:6379/", []),
        ("http://db.internal:5432/", ["10.0.0.8"]),
        ("http://DB.internal.:5432/", ["10.0.0.8"]),
        ("http://10.0.0.7:5432/", []),
        ("http://[fd00::7]:5432/", []),
        ("http://[::ffff:10.0.0.7]:5432/", []),
        ("http://[64:ff9b::a00:7]:5432/", []),
        ("http://alias.internal:5432/", ["10.0.0.7"]),
        ("http://127.0.0.1:8000/", []),
        ("http://[::1]:8000/", []),
        ("http://127.0.0.1:5555/", []),
        ("http://[::1]:5555/", []),
        ("http://127.0.0.1:8001/", []),
    ],
)
def test_our_own_servers_are_refused_whatever_is_allowed(url, found):
    assert judge(EVERYTHING, url, *found, look_up=own_addresses) == "egress.denied_address"


def test_our_own_public_servers_are_refused_through_nat64_too():
    rules = Policy(own=(("93.184.216.34", 443),))
    assert judge(rules, "https://93.184.216.34/") == "egress.denied_address"
    assert judge(rules, "https://[64:ff9b::5db8:d822]/") == "egress.denied_address"
    assert judge(rules, "https://[64:ff9b::5db8:d823]/") == "allowed"


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "http://10.0.0.7:5433/", "http://127.0.0.1:9000/"])
def test_other_ports_of_the_same_machines_are_judged_as_usual(url):
    assert judge(EVERYTHING, url, look_up=own_addresses) == "allowed"


def test_the_same_port_of_another_machine_is_judged_as_usual():
    assert judge(EVERYTHING, "http://10.0.0.8:5432/", look_up=own_addresses) == "allowed"
    assert judge(EVERYTHING, "http://10.0.0.8:6379/") == "allowed"


def test_a_server_on_this_machine_is_meant_by_every_address_of_this_machine(monkeypatch):
    here = ips("10.0.0.99")[0]
    monkeypatch.setattr(policy, "is_local", lambda ip: ip == here or ip.is_loopback)
    assert judge(EVERYTHING, "http://10.0.0.99:8000/") == "egress.denied_address"
    assert judge(EVERYTHING, "http://10.0.0.99:6379/") == "egress.denied_address"
    assert judge(EVERYTHING, "http://10.0.0.98:8000/") == "allowed"


def test_given_that_the_system_cannot_say_then_an_address_counts_as_local(monkeypatch):
    def refuse(*args):
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr("executions.egress.policy.socket.socket", refuse)
    assert policy.is_local(ips("192.0.2.1")[0])


def test_local_addresses_are_recognised():
    assert all(policy.is_local(ip) for ip in ips("127.0.0.1", "127.1.2.3", "::1", "0.0.0.0"))
    assert not any(policy.is_local(ip) for ip in ips("192.0.2.1", "2001:db8::1"))


def test_every_address_that_can_be_bound_is_local(monkeypatch):
    # Only loopback is sure to be there, so let the shortcut for it be out of the way
    monkeypatch.setattr(ipaddress.IPv4Address, "is_loopback", False)
    assert policy.is_local(ips("127.0.0.1")[0])
    assert not policy.is_local(ips("192.0.2.1")[0])
