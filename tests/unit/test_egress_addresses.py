import ipaddress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from executions.egress import addresses

PRIVATE = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.9",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.7",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::a00:1",
    "64:ff9b:1::1",
    "64:ff9b:1:7f00:0:100::",
    "64:ff9b:1:808:8:800::",
    "100::1",
    "2001::1",
    "2001:0:53aa:64c:0:fbff:f5ff:fffe",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::",
    "2002:808:808::1",
    "2620:4f:8000::1",
    "3fff::1",
    "3fff:fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "feff::1",
    "ff02::1",
    "ffff::1",
]
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "168.63.129.15",
    "168.63.129.17",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.1",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2000::1",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2001:db7:ffff::1",
    "2003::1",
    "2606:4700:4700::1111",
    "2a00:1450:4001::1",
    "3ffe::1",
    "3fff:1000::1",
]


@pytest.mark.parametrize("text", PRIVATE)
def test_special_addresses_are_refused(text):
    assert addresses.refusal(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_pass(text):
    assert addresses.refusal(ipaddress.ip_address(text)) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("127.0.0.1", "loopback"),
        ("::1", "loopback"),
        ("::ffff:10.1.2.3", "private"),
        ("fd12::1", "private"),
        ("fe80::1", "link-local"),
        ("ff02::1", "multicast"),
        ("fec0::1", "reserved"),
        ("64:ff9b::a9fe:a9fe", "carries 169.254.169.254, link-local"),
        ("64:ff9b:1:7f00:0:100::", "carries 127.0.0.1, loopback"),
        ("2002:7f00:1::", "carries 127.0.0.1, loopback"),
        ("::7f00:1", "carries 127.0.0.1, loopback"),
    ],
)
def test_the_reason_is_told(text, why):
    assert addresses.refusal(ipaddress.ip_address(text)) == why


@given(st.ip_addresses())
@example(ipaddress.ip_address("192.0.0.9"))
@example(ipaddress.ip_address("100:0:0:1::1"))
def test_whatever_python_holds_for_special_is_refused(ip):
    if not ip.is_global or ip.is_multicast or ip.is_reserved:
        # NAT64 with a public address inside is how IPv6-only hosts reach IPv4
        assert addresses.refusal(ip) or ip in ipaddress.ip_network("64:ff9b::/96") or ip.ipv4_mapped


@given(st.ip_addresses(v=4))
def test_an_address_fares_the_same_in_every_spelling(ip):
    mapped = ipaddress.IPv6Address(0xFFFF_0000_0000 | int(ip))
    nat64 = ipaddress.IPv6Address((0x64_FF9B << 96) | int(ip))
    assert addresses.refusal(mapped) == addresses.refusal(ip)
    assert bool(addresses.refusal(nat64)) == bool(addresses.refusal(ip))
    assert addresses.carried(nat64) == ip
    assert addresses.unmapped(mapped) == ip


@given(st.ip_addresses(v=4))
def test_gateway_spellings_are_refused_whatever_they_carry(ip):
    number = int(ip)
    six_to_four = ipaddress.IPv6Address((0x2002 << 112) | (number << 80))
    local_nat64 = ipaddress.IPv6Address(
        (0x64_FF9B_0001 << 80) | (number >> 16 << 64) | ((number & 0xFFFF) << 40)
    )
    assert addresses.carried(six_to_four) == addresses.carried(local_nat64) == ip
    assert addresses.refusal(six_to_four)
    assert addresses.refusal(local_nat64)
