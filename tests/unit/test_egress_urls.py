import pytest
from hypothesis import given
from hypothesis import strategies as st

from executions.egress.urls import follow, parse_target
from lightfield.kernel.errors import PermanentStepError


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port", "path"),
    [
        ("http://example.com", "http", "example.com", 80, "/"),
        ("HTTPS://Example.COM/A", "https", "example.com", 443, "/A"),
        ("https://example.com:8443/a?b=c#d", "https", "example.com", 8443, "/a?b=c"),
        ("http://example.com:/", "http", "example.com", 80, "/"),
        ("http://example.com?x=1", "http", "example.com", 80, "/?x=1"),
        ("http://example.com#top", "http", "example.com", 80, "/"),
        ("http://a_b.example.com/", "http", "a_b.example.com", 80, "/"),
        ("http://example.com/a b/ü?q=ä b", "http", "example.com", 80, "/a%20b/%C3%BC?q=%C3%A4%20b"),
        ("http://example.com/%2e%2E/%zz", "http", "example.com", 80, "/%2e%2E/%zz"),
        ("http://example.com/a/../b//c", "http", "example.com", 80, "/a/../b//c"),
        ("http://example.com/\\evil.com", "http", "example.com", 80, "/%5Cevil.com"),
        ("http://example.com/@evil.com:80/", "http", "example.com", 80, "/@evil.com:80/"),
        ("http://example.com/?u=http://a@b", "http", "example.com", 80, "/?u=http://a@b"),
        ("http://8.8.8.8/", "http", "8.8.8.8", 80, "/"),
        ("http://[2001:4860:4860::8888]:8080/x", "http", "2001:4860:4860::8888", 8080, "/x"),
        ("http://bücher.example/", "http", "xn--bcher-kva.example", 80, "/"),
        ("http://xn--bcher-kva.example/", "http", "xn--bcher-kva.example", 80, "/"),
        ("http://example。com/", "http", "example.com", 80, "/"),
        ("http://8.8.8.8./", "http", "8.8.8.8", 80, "/"),
    ],
)
def test_one_reading_of_a_url(url, scheme, host, port, path):
    target = parse_target(url)
    assert (target.scheme, target.host, target.port, target.path) == (scheme, host, port, path)


@pytest.mark.parametrize(
    ("url", "header"),
    [
        ("http://example.com/", "example.com"),
        ("http://example.com:80/", "example.com"),
        ("https://example.com:80/", "example.com:80"),
        ("http://example.com./", "example.com"),
        ("http://[2001:db8::1]/", "[2001:db8::1]"),
        ("https://[2001:DB8:0::1]:8443/", "[2001:db8::1]:8443"),
    ],
)
def test_the_host_header(url, header):
    assert parse_target(url).host_header == header


def test_a_root_dot_is_kept_for_the_lookup_only():
    target = parse_target("http://example.com./")
    assert (target.host, target.lookup_name) == ("example.com", "example.com.")


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("", "egress.invalid_url"),
        ("/relative", "egress.invalid_url"),
        ("example.com/x", "egress.invalid_url"),
        ("//example.com/", "egress.invalid_url"),
        ("http:/example.com", "egress.invalid_url"),
        ("http:example.com", "egress.invalid_url"),
        ("http:///path", "egress.invalid_url"),
        ("http://:80/", "egress.invalid_url"),
        ("http://user@example.com/", "egress.invalid_url"),
        ("http://user:pass@example.com/", "egress.invalid_url"),
        ("http://example.com\\@127.0.0.1/", "egress.invalid_url"),
        ("http://example.com\\.evil.com/", "egress.invalid_url"),
        ("http://exa mple.com/", "egress.invalid_url"),
        (" http://example.com/", "egress.invalid_url"),
        ("http://example.com/a\r\nX: y", "egress.invalid_url"),
        ("http://example.com/\x00", "egress.invalid_url"),
        ("http://exam\tple.com/", "egress.invalid_url"),
        ("http://%31%32%37.0.0.1/", "egress.invalid_url"),
        ("http://example.com:0/", "egress.invalid_url"),
        ("http://example.com:65536/", "egress.invalid_url"),
        ("http://example.com:8o/", "egress.invalid_url"),
        ("http://example.com:-1/", "egress.invalid_url"),
        ("http://example.com:٨٠/", "egress.invalid_url"),
        ("http://127.1/", "egress.invalid_url"),
        ("http://0x7f000001/", "egress.invalid_url"),
        ("http://2130706433/", "egress.invalid_url"),
        ("http://017700000001/", "egress.invalid_url"),
        ("http://127.0.0.0x1/", "egress.invalid_url"),
        ("http://0177.0.0.1/", "egress.invalid_url"),
        ("http://1.2.3.4.5/", "egress.invalid_url"),
        ("http://999.1.1.1/", "egress.invalid_url"),
        ("http://0/", "egress.invalid_url"),
        ("http://[::1/", "egress.invalid_url"),
        ("http://[fe80::1%25eth0]/", "egress.invalid_url"),
        ("http://[::1]x/", "egress.invalid_url"),
        ("http://[v1.fe]/", "egress.invalid_url"),
        ("http://::1/", "egress.invalid_url"),
        ("http://-a.example.com/", "egress.invalid_url"),
        ("http://a..b/", "egress.invalid_url"),
        ("http://.example.com/", "egress.invalid_url"),
        (f"http://{'a' * 64}.com/", "egress.invalid_url"),
        (f"http://{'a.' * 130}com/", "egress.invalid_url"),
        ("http://\ud800.com/", "egress.invalid_url"),
        ("http://example.com/\ud800", "egress.invalid_url"),
        ("http://example.com/" + "a" * 9000, "egress.invalid_url"),
        ("http://example.com/" + "ü" * 4000, "egress.invalid_url"),
        ("ftp://example.com/", "egress.denied_scheme"),
        ("file:///etc/passwd", "egress.denied_scheme"),
        ("gopher://127.0.0.1:6379/_FLUSHALL", "egress.denied_scheme"),
        ("javascript:alert(1)", "egress.denied_scheme"),
        ("unix:/var/run/docker.sock", "egress.denied_scheme"),
        ("dict://127.0.0.1/", "egress.denied_scheme"),
        ("data:text/plain,x", "egress.denied_scheme"),
    ],
)
def test_refused(url, code):
    with pytest.raises(PermanentStepError) as caught:
        parse_target(url)
    assert caught.value.code == code
    assert caught.value.sent is False


def test_the_refusal_of_credentials_says_what_to_do():
    with pytest.raises(PermanentStepError, match="send an Authorization header"):
        parse_target("http://user:pass@example.com/")


@pytest.mark.parametrize(
    ("params", "query"),
    [
        ({"a": 1, "b": "ü &=", "c": True, "d": None, "e": 1.5}, "a=1&b=%C3%BC+%26%3D&c=true&e=1.5"),
        ({"tag": ["x", "y"], "none": [None]}, "tag=x&tag=y"),
        ({}, ""),
    ],
)
def test_parameters_are_added(params, query):
    assert parse_target("http://example.com/", params).path == ("/?" + query if query else "/")
    assert parse_target("http://example.com/?z=0", params).path == "/?z=0" + ("&" + query if query else "")


def test_a_parameter_with_half_a_surrogate_pair_is_refused():
    with pytest.raises(PermanentStepError, match="invalid_url"):
        parse_target("http://example.com/", {"a": "\ud800"})


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/next", "http://example.com/next"),
        ("next?x=1", "http://example.com/a/next?x=1"),
        ("//other.example/x", "http://other.example/x"),
        ("https://other.example", "https://other.example/"),
        ("#part", "http://example.com/a/b"),
    ],
)
def test_redirects_are_relative_to_where_they_come_from(location, url):
    assert follow(parse_target("http://example.com/a/b"), location).url == url


@pytest.mark.parametrize("location", ["http://[", "ftp://x/", "http://u@h/", "http://h:99999/"])
def test_a_redirect_is_read_as_strictly(location):
    with pytest.raises(PermanentStepError, match=r"egress\."):
        follow(parse_target("http://example.com/a/b"), location)


@given(st.text(max_size=40), st.text(max_size=40))
def test_a_url_that_was_read_reads_the_same_again(path, query):
    try:
        target = parse_target(f"https://example.com/{path}?{query}")
    except PermanentStepError:
        return
    assert target.url.isascii()
    assert parse_target(target.url) == target
