"""Whom a request is counted against, and that no header changes it unless a proxy of ours wrote it."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from lightfield.kernel import env
from lightfield.kernel.env import InvalidSetting
from triggers.throttling import clients
from triggers.throttling.clients import client_of

OURS = tuple(ipaddress.ip_network(one) for one in ("10.0.0.0/8", "fd00::/8", "192.0.2.7"))


def meta(remote: str, forwarded: str = "") -> dict[str, Any]:
    return {"REMOTE_ADDR": remote, "HTTP_X_FORWARDED_FOR": forwarded}


@pytest.mark.parametrize(
    ("remote", "counted"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unknown"),
        ("nonsense", "unknown"),
    ],
)
def test_a_sender_is_its_address_and_of_ipv6_its_network(settings, remote, counted):
    settings.LIGHTFIELD_TRUSTED_PROXIES = ()
    assert client_of(meta(remote)) == counted


@pytest.mark.parametrize("spoofed", ["198.51.100.1", "10.0.0.1, 198.51.100.1", "", ",,,", "x" * 8000])
def test_without_trusted_proxies_no_header_says_who_sent(settings, spoofed):
    settings.LIGHTFIELD_TRUSTED_PROXIES = ()
    assert client_of(meta("203.0.113.9", spoofed)) == "203.0.113.9"


@pytest.mark.parametrize(
    ("remote", "forwarded", "counted"),
    [
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9, 10.0.0.2", "203.0.113.9"),  # two proxies of ours
        ("10.0.0.1", "203.0.113.9,10.0.0.2 , 192.0.2.7", "203.0.113.9"),
        ("10.0.0.1", "198.51.100.1, 203.0.113.9", "203.0.113.9"),  # the sender made the first one up
        ("10.0.0.1", "10.0.0.5, 203.0.113.9", "203.0.113.9"),  # ... even as one of ours
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),  # past the proxy, straight to us
        ("10.0.0.1", "203.0.113.9:4711", "203.0.113.9"),
        ("10.0.0.1", "[2001:db8::1]:4711", "2001:db8::/64"),
        ("10.0.0.1", "2001:db8::1", "2001:db8::/64"),
        ("fd00::1", "203.0.113.9", "203.0.113.9"),
        ("", "203.0.113.9", "203.0.113.9"),  # a proxy on a Unix socket
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9, junk", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", ", ".join(["10.0.0.2"] * 500), "10.0.0.2"),
    ],
)
def test_behind_proxies_the_last_that_is_not_ours_is_the_sender(settings, remote, forwarded, counted):
    settings.LIGHTFIELD_TRUSTED_PROXIES = OURS
    assert client_of(meta(remote, forwarded)) == counted


def test_a_proxy_that_nobody_named_is_told_of_once(settings, monkeypatch, caplog):
    settings.LIGHTFIELD_TRUSTED_PROXIES = ()
    monkeypatch.setattr(clients, "_has_warned", False)

    client_of(meta("8.8.8.8", "203.0.113.9"))  # a header of the sender's own
    assert not caplog.records
    for _ in range(3):
        client_of(meta("10.0.0.1", "203.0.113.9"))

    assert [record.message for record in caplog.records] == ["proxy_not_trusted"]


def test_whatever_senders_write_a_bounded_number_of_answers_is_remembered(settings):
    settings.LIGHTFIELD_TRUSTED_PROXIES = OURS
    for number in range(10_000):
        client_of(meta("10.0.0.1", f"junk-{number}"))

    assert clients._behind_proxies.cache_info().currsize <= 4096


def test_proxies_are_named_by_addresses_and_networks(monkeypatch):
    monkeypatch.setenv("LIGHTFIELD_TRUSTED_PROXIES", "10.0.0.0/8, fd00::/8,192.0.2.7")
    assert env.networks("LIGHTFIELD_TRUSTED_PROXIES") == OURS

    monkeypatch.setenv("LIGHTFIELD_TRUSTED_PROXIES", "proxy.example.com")
    with pytest.raises(InvalidSetting, match="LIGHTFIELD_TRUSTED_PROXIES"):
        env.networks("LIGHTFIELD_TRUSTED_PROXIES")


def test_what_is_remembered_of_a_header_is_short(settings, monkeypatch):
    """4,096 headers of 8 KB would be 32 MB in each process."""
    settings.LIGHTFIELD_TRUSTED_PROXIES = OURS
    asked = []
    monkeypatch.setattr(clients, "_behind_proxies", lambda *given: asked.append(given))

    client_of(meta("10.0.0.1", "x" * 8000))
    client_of(meta("10.0.0.1", " , " * 2500))

    assert max(len(forwarded) for _, forwarded, _ in asked) < 700
